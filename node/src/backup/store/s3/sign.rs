//! Signatures of requests: AWS's version 4, in the `Authorization` header, which every store that speaks S3 checks alike.

use jiff::Timestamp;
use ring::{digest, hmac};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";
const TERMINATOR: &str = "aws4_request";

/// Whose signature, and for where.
pub(super) struct Signer<'a> {
    pub(super) access_key: &'a str,
    pub(super) secret_key: &'a str,
    pub(super) region: &'a str,
}

/// What is signed of a request.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// Encoded, as it is sent.
    pub(super) path: &'a str,
    /// Encoded and sorted, as it is sent.
    pub(super) query: &'a str,
    pub(super) host: &'a str,
    /// SHA-256 of the body, in hexadecimal, or [`UNSIGNED`].
    pub(super) content: &'a str,
    pub(super) now: Timestamp,
}

/// The body is not part of the signature.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The moment as the `x-amz-date` header has it.
pub(super) fn date(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

impl Signer<'_> {
    /// The `Authorization` header of a request that also has `x-amz-date` and `x-amz-content-sha256`.
    pub(super) fn authorization(&self, of: &Signed<'_>) -> String {
        let date = date(of.now);
        let names = "host;x-amz-content-sha256;x-amz-date";
        let headers = format!("host:{}\nx-amz-content-sha256:{}\nx-amz-date:{date}\n", of.host, of.content);
        let request = [of.method, of.path, of.query, &headers, names, of.content].join("\n");
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{SERVICE}/{TERMINATOR}", self.region);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256(request.as_bytes()));
        let signature = hex(&self.signature(day, &text));
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        )
    }

    fn signature(&self, day: &str, text: &str) -> Vec<u8> {
        let secret = format!("AWS4{}", self.secret_key);
        let steps = [day, self.region, SERVICE, TERMINATOR, text];
        steps.iter().fold(secret.into_bytes(), |key, step| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec()
        })
    }
}

/// Encodes as S3 wants it: everything but letters, digits and `-._~`, and slashes where `keep_slash`.
pub(super) fn encode(text: &str, keep_slash: bool) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        let is_kept = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/');
        if is_kept {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// Name and value of each, sorted and encoded.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false)))
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn hex(data: &[u8]) -> String {
    data.iter().fold(String::with_capacity(data.len() * 2), |mut out, byte| {
        out.push_str(&format!("{byte:02x}"));
        out
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example "GET Bucket (List Objects)" of AWS's documentation of Signature Version 4.
    #[test]
    fn the_documented_example() {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
        };
        let query = query(&[("prefix", "J"), ("max-keys", "2")]);
        assert_eq!(query, "max-keys=2&prefix=J");
        let content = sha256(b"");
        let signed = Signed {
            method: "GET",
            path: "/",
            query: &query,
            host: "examplebucket.s3.amazonaws.com",
            content: &content,
            now: "2013-05-24T00:00:00Z".parse().unwrap(),
        };
        let authorization = signer.authorization(&signed);
        let expected = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(authorization.ends_with(&format!("Signature={expected}")), "{authorization}");
    }

    #[test]
    fn keys_and_values_are_encoded() {
        assert_eq!(encode("shop/data 1+2", true), "shop/data%201%2B2");
        assert_eq!(query(&[("uploads", ""), ("prefix", "a/b")]), "prefix=a%2Fb&uploads=");
    }
}
