//! Bech32 (BIP 173), the spelling of age's keys. No limit on the length, as in age.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
/// Characters of the checksum.
const CHECKSUM: usize = 6;

/// Writes `data` in lower case with the prefix `hrp`.
pub(super) fn encode(hrp: &str, data: &[u8]) -> String {
    let mut values = regroup(data, 8, 5, true).unwrap_or_default();
    let check = polymod(hrp, values.iter().copied().chain([0; CHECKSUM])) ^ 1;
    values.extend((0..CHECKSUM).map(|i| ((check >> (5 * (CHECKSUM - 1 - i))) & 31) as u8));
    let letters = values.iter().filter_map(|v| ALPHABET.get(usize::from(*v))).map(|b| char::from(*b));
    format!("{hrp}1{}", letters.collect::<String>())
}

/// Prefix, in lower case, and data; `None` where a character is wrong.
pub(super) fn decode(text: &str) -> Option<(String, Vec<u8>)> {
    let is_mixed =
        text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_uppercase());
    if is_mixed || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let (hrp, letters) = text.rsplit_once('1').filter(|(hrp, _)| !hrp.is_empty())?;
    let value = |letter: u8| ALPHABET.iter().position(|a| *a == letter).map(|v| v as u8);
    let values = letters.bytes().map(value).collect::<Option<Vec<u8>>>()?;
    let data = values.get(..values.len().checked_sub(CHECKSUM)?)?;
    if polymod(hrp, values.iter().copied()) != 1 {
        return None;
    }
    Some((hrp.to_owned(), regroup(data, 5, 8, false)?))
}

fn polymod(hrp: &str, values: impl Iterator<Item = u8>) -> u32 {
    let high = hrp.bytes().map(|b| b >> 5);
    let low = hrp.bytes().map(|b| b & 31);
    high.chain([0]).chain(low).chain(values).fold(1, |check: u32, value| {
        let top = check >> 25;
        let shifted = ((check & 0x01ff_ffff) << 5) ^ u32::from(value);
        let taken = GENERATORS.iter().enumerate().filter(|(bit, _)| (top >> bit) & 1 == 1);
        taken.fold(shifted, |check, (_, generator)| check ^ generator)
    })
}

/// From groups of `from` bits to groups of `to`. What is left over has to be zero, unless it is padded.
fn regroup(data: &[u8], from: u32, to: u32, pad: bool) -> Option<Vec<u8>> {
    let (mut held, mut bits) = (0_u32, 0);
    let mut out = Vec::with_capacity(data.len() * from as usize / to as usize + 1);
    for value in data {
        held = ((held << from) | u32::from(*value)) & 0xfff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push(((held >> bits) & ((1 << to) - 1)) as u8);
        }
    }
    let rest = (held << (to - bits)) & ((1 << to) - 1);
    if pad && bits > 0 {
        out.push(rest as u8);
    } else if !pad && (bits >= from || rest != 0) {
        return None;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_standards_own_examples() {
        for good in [
            "A12UEL5L",
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
            "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
        ] {
            assert!(decode(good).is_some(), "{good}");
        }
        for bad in
            ["pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A1G7SGD8", "10a06t8", "1qzzfhee"]
        {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(data in prop::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(decode(&encode("age", &data)), Some(("age".to_owned(), data)));
        }
    }
}
