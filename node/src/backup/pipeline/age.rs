//! The wrapped key of an object: a file of age, version 1, for recipients of the kind X25519, that holds the key and nothing
//! else. Anyone with one of the private keys opens it with `age -d`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use curve25519_dalek::MontgomeryPoint;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};

use super::error::KeyError;
use super::keys::{Identity, Recipient, Recipients, random};

const VERSION: &str = "age-encryption.org/v1";
const X25519_LABEL: &str = "age-encryption.org/v1/X25519";
const HEADER_LABEL: &str = "header";
const PAYLOAD_LABEL: &str = "payload";
/// Bytes of the key that an age file is encrypted with.
const FILE_KEY: usize = 16;
/// Bytes before the payload.
const PAYLOAD_NONCE: usize = 16;
/// The payload's only chunk: counter 0 and the mark of the last one.
const ONLY_CHUNK: [u8; NONCE_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// A header has a few lines. More is not one of ours.
const HEADER_MAX: usize = 64 << 10;

const UNUSABLE: KeyError = KeyError::Damaged("it cannot be used");

/// Wraps `secret` for all of them.
pub(super) fn wrap(secret: &[u8], recipients: &Recipients) -> Result<Vec<u8>, KeyError> {
    let file_key: [u8; FILE_KEY] = random()?;
    let mut header = format!("{VERSION}\n");
    for (_, recipient) in recipients.iter() {
        header.push_str(&stanza(&file_key, recipient)?);
    }
    header.push_str("---");
    let mac = STANDARD_NO_PAD.encode(hmac::sign(&mac_key(&file_key)?, header.as_bytes()));
    header.push_str(&format!(" {mac}\n"));
    let nonce: [u8; PAYLOAD_NONCE] = random()?;
    let mut payload = secret.to_vec();
    let key = derive(&nonce, &file_key, PAYLOAD_LABEL)?;
    cipher(&key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(ONLY_CHUNK), Aad::empty(), &mut payload)
        .map_err(|_| UNUSABLE)?;
    Ok([header.as_bytes(), &nonce, &payload].concat())
}

/// What was wrapped, if one of the keys fits.
pub(super) fn unwrap(file: &[u8], keys: &[Identity], made_for: &str) -> Result<Vec<u8>, KeyError> {
    let (header, mac, payload) = split(file)?;
    let file_key = find_file_key(header, keys).ok_or_else(|| KeyError::OtherKeys(made_for.to_owned()))?;
    hmac::verify(&mac_key(&file_key)?, header.as_bytes(), &mac)
        .map_err(|_| KeyError::Damaged("its header was changed"))?;
    let (nonce, chunk) = payload.split_at_checked(PAYLOAD_NONCE).ok_or(KeyError::Damaged("it is cut off"))?;
    let mut chunk = chunk.to_vec();
    let key = derive(nonce, &file_key, PAYLOAD_LABEL)?;
    let nonce = Nonce::assume_unique_for_key(ONLY_CHUNK);
    let plain = cipher(&key)?.open_in_place(nonce, Aad::empty(), &mut chunk);
    plain.map(|plain| plain.to_vec()).map_err(|_| KeyError::Damaged("its content was changed"))
}

fn stanza(file_key: &[u8; FILE_KEY], recipient: Recipient) -> Result<String, KeyError> {
    let ephemeral: [u8; 32] = random()?;
    let share = MontgomeryPoint::mul_base_clamped(ephemeral).to_bytes();
    let shared = MontgomeryPoint(recipient.0).mul_clamped(ephemeral).to_bytes();
    if shared == [0; 32] {
        return Err(KeyError::NoRecipient(recipient.to_string()));
    }
    let mut body = file_key.to_vec();
    let key = derive(&[share, recipient.0].concat(), &shared, X25519_LABEL)?;
    cipher(&key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; NONCE_LEN]), Aad::empty(), &mut body)
        .map_err(|_| UNUSABLE)?;
    Ok(format!("-> X25519 {}\n{}\n", STANDARD_NO_PAD.encode(share), STANDARD_NO_PAD.encode(body)))
}

/// Header up to its last three dashes, its MAC, and the payload.
fn split(file: &[u8]) -> Result<(&str, Vec<u8>, &[u8]), KeyError> {
    let cut = |what| KeyError::Damaged(what);
    let window = file.get(..file.len().min(HEADER_MAX)).unwrap_or_default();
    let at = window.windows(5).position(|w| w == b"\n--- ").ok_or_else(|| cut("it has no header"))?;
    let (header, rest) = file.split_at(at + 4);
    let rest = rest.strip_prefix(b" ").ok_or_else(|| cut("it has no header"))?;
    let end = rest.iter().position(|b| *b == b'\n').ok_or_else(|| cut("it is cut off"))?;
    let (mac, payload) = rest.split_at(end);
    let header = std::str::from_utf8(header).map_err(|_| cut("it has no header"))?;
    if header.lines().next() != Some(VERSION) {
        return Err(cut("it is no file of age, version 1"));
    }
    let mac = STANDARD_NO_PAD.decode(mac).map_err(|_| cut("its header was changed"))?;
    Ok((header, mac, payload.get(1..).unwrap_or_default()))
}

fn find_file_key(header: &str, keys: &[Identity]) -> Option<[u8; FILE_KEY]> {
    let mut lines = header.lines();
    while let Some(line) = lines.next() {
        let Some(share) = line.strip_prefix("-> X25519 ") else { continue };
        let share = STANDARD_NO_PAD.decode(share).ok().and_then(|s| <[u8; 32]>::try_from(s).ok());
        let body = lines.next().and_then(|body| STANDARD_NO_PAD.decode(body).ok());
        let (Some(share), Some(body)) = (share, body) else { continue };
        let found = keys.iter().find_map(|key| open_stanza(share, &body, key));
        if found.is_some() {
            return found;
        }
    }
    None
}

fn open_stanza(share: [u8; 32], body: &[u8], identity: &Identity) -> Option<[u8; FILE_KEY]> {
    let shared = identity.agree(share);
    if shared == [0; 32] {
        return None;
    }
    let key = derive(&[share, identity.recipient().0].concat(), &shared, X25519_LABEL).ok()?;
    let mut body = body.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let cipher = cipher(&key).ok()?;
    let plain = cipher.open_in_place(nonce, Aad::empty(), &mut body).ok()?;
    <[u8; FILE_KEY]>::try_from(&*plain).ok()
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, KeyError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| UNUSABLE)?;
    Ok(LessSafeKey::new(key))
}

fn mac_key(file_key: &[u8; FILE_KEY]) -> Result<hmac::Key, KeyError> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &derive(&[], file_key, HEADER_LABEL)?))
}

/// HKDF of SHA-256, 32 bytes.
fn derive(salt: &[u8], secret: &[u8], label: &str) -> Result<[u8; 32], KeyError> {
    let mut out = [0; 32];
    let info = [label.as_bytes()];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    extracted.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut out)).map_err(|_| UNUSABLE)?;
    Ok(out)
}
