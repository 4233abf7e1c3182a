//! A stream comes back as it was, or not at all.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;

use super::*;

/// Everything that was handed on, as it would lie in a store.
#[derive(Default, Clone)]
struct Shelf {
    objects: Vec<Vec<u8>>,
    parts: BTreeMap<(u32, u32), usize>,
    ended: Vec<ObjectSummary>,
}

impl PartSink for Shelf {
    fn part(&mut self, part: Part) -> io::Result<()> {
        if part.number == 0 {
            assert_eq!(self.objects.len(), part.object as usize, "objects come in their order");
            self.objects.push(Vec::new());
        }
        self.parts.insert((part.object, part.number), part.data.len());
        self.objects.last_mut().unwrap().extend(part.data);
        self.ended.extend(part.ends);
        Ok(())
    }
}

impl ObjectSource for Shelf {
    fn open(&mut self, object: u32) -> io::Result<Box<dyn Read + Send>> {
        let found = self.objects.get(object as usize).cloned();
        found.map_or_else(
            || Err(io::Error::new(io::ErrorKind::NotFound, "it is not there")),
            |object| Ok(Box::new(Cursor::new(object)) as Box<dyn Read + Send>),
        )
    }
}

const BACKUP: &str = "20260101T000000Z-db2";
const PART: usize = 40_000;
const SMALL: Limits = Limits { object_bytes: 150_000, part_bytes: PART };

struct Keys {
    escrow: Identity,
    reader: Identity,
}

fn keys() -> (Keys, Recipients) {
    let keys = Keys { escrow: Identity::generate().unwrap(), reader: Identity::generate().unwrap() };
    let recipients = Recipients::new([keys.escrow.recipient()], [keys.reader.recipient()]).unwrap();
    (keys, recipients)
}

fn written(data: &[u8], recipients: &Recipients, packed: bool) -> (Shelf, StreamSummary) {
    let recipients = recipients.clone();
    let mut writer = if packed {
        StreamWriter::zstd(Shelf::default(), BACKUP, recipients, SMALL, 1, 0).unwrap()
    } else {
        StreamWriter::uncompressed(Shelf::default(), BACKUP, recipients, SMALL).unwrap()
    };
    for piece in data.chunks(30_011) {
        writer.write_all(piece).unwrap();
    }
    writer.end().unwrap()
}

fn read(shelf: &Shelf, written: &StreamSummary, key: Identity) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    let mut reader = StreamReader::new(shelf.clone(), BACKUP, written.clone(), vec![key], "age1escrow");
    reader.read_to_end(&mut data).map(|_| data).map_err(|e| e.to_string())
}

/// Does not compress, and is the same every time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut hash = blake3::Hasher::new().finalize_xof();
    let mut data = vec![0; bytes];
    hash.fill(&mut data);
    data
}

#[test]
fn every_recipient_reads_it_and_nobody_else() {
    let (keys, recipients) = keys();
    let data = noise(500_000);
    let (shelf, summary) = written(&data, &recipients, true);
    assert!(summary.objects.len() >= 2, "{} objects", summary.objects.len());
    assert_eq!(shelf.ended, summary.objects);
    assert_eq!(read(&shelf, &summary, keys.escrow).unwrap(), data);
    assert_eq!(read(&shelf, &summary, keys.reader).unwrap(), data);
    let error = read(&shelf, &summary, Identity::generate().unwrap()).unwrap_err();
    assert_eq!(error, "object 0: none of the keys here opens it; it was made for age1escrow");
    let plain = data.get(1000..1032).unwrap();
    let is_seen = |object: &Vec<u8>| object.windows(plain.len()).any(|w| w == plain);
    assert!(!shelf.objects.iter().any(is_seen), "nothing is stored as it was");
}

#[test]
fn parts_have_one_size_but_the_last() {
    let (_, recipients) = keys();
    for bytes in [0, 1, 65_536, 131_072, 300_000] {
        let (shelf, summary) = written(&noise(bytes), &recipients, false);
        for ((object, number), size) in &shelf.parts {
            let is_last = !shelf.parts.contains_key(&(*object, number + 1));
            assert!(*size == PART || (is_last && *size > 0), "{object}/{number}: {size}");
        }
        let stored: usize = shelf.parts.values().sum();
        assert_eq!(summary.stored_bytes(), stored as u64);
        for (index, (object, written)) in shelf.objects.iter().zip(&summary.objects).enumerate() {
            check_object(object.as_slice(), index as u32, written).unwrap();
        }
    }
}

#[test]
fn a_failed_write_is_never_followed_by_an_end() {
    struct Full(u32);
    impl PartSink for Full {
        fn part(&mut self, _: Part) -> io::Result<()> {
            self.0 += 1;
            if self.0 == 2 { Err(io::Error::other("full")) } else { Ok(()) }
        }
    }
    let (_, recipients) = keys();
    let mut writer = StreamWriter::uncompressed(Full(0), BACKUP, recipients, SMALL).unwrap();
    assert!(writer.write_all(&noise(300_000)).is_err());
    assert!(writer.write_all(b"x").is_err());
    assert!(writer.end().is_err());
}

#[test]
fn objects_have_their_places() {
    let (keys, recipients) = keys();
    let key = || Identity::read_all(&keys.escrow.to_secret_text()).unwrap().remove(0);
    let (mut shelf, summary) = written(&noise(600_000), &recipients, false);
    let whole = shelf.clone();
    shelf.objects.swap(0, 1);
    let error = read(&shelf, &summary, key()).unwrap_err();
    assert!(error.starts_with("object 1 of backup 20260101T000000Z-db2 is where object 0"), "{error}");

    // Even a manifest that was forged to match does not hide that the end is missing.
    let mut shorter = summary.clone();
    shorter.objects.pop();
    let error = read(&whole, &shorter, key()).unwrap_err();
    let last = shorter.objects.len() - 1;
    assert_eq!(error, format!("the stream goes on after object {last}, which is the last one here"));
    let mut longer = summary.clone();
    longer.objects.extend(summary.objects.last().cloned());
    let error = read(&whole, &longer, key()).unwrap_err();
    assert!(error.ends_with("but more objects follow"), "{error}");

    // An object of another backup, however alike.
    let other = StreamWriter::uncompressed(Shelf::default(), "other", recipients, SMALL).unwrap();
    let (other, _) = other.end().unwrap();
    let mut mixed = whole;
    *mixed.objects.first_mut().unwrap() = other.objects.first().unwrap().clone();
    assert!(read(&mixed, &summary, key()).unwrap_err().contains("object 0 of backup other is where"));
}

#[test]
fn a_checksum_tells_without_a_key() {
    let (_, recipients) = keys();
    let (shelf, summary) = written(&noise(10_000), &recipients, true);
    let (mut object, written) = (shelf.objects.into_iter().next().unwrap(), summary.objects.first().unwrap());
    *object.last_mut().unwrap() ^= 1;
    let error = check_object(object.as_slice(), 0, written).unwrap_err().to_string();
    assert!(error.starts_with("object 0 has the checksum "), "{error}");
}

#[test]
fn a_newer_format_is_named() {
    let (keys, recipients) = keys();
    let (mut shelf, summary) = written(b"data", &recipients, false);
    let object = shelf.objects.first_mut().unwrap();
    let at = object.windows(10).position(|w| w == b"\"format\":1").unwrap();
    *object.get_mut(at + 9).unwrap() = b'9';
    let error = read(&shelf, &summary, keys.escrow).unwrap_err();
    assert_eq!(error, "object 0: its format is 9 and this program reads 1; use a newer one");
}

#[test]
fn without_an_escrow_nothing_is_made() {
    let reader = Identity::generate().unwrap().recipient();
    assert_eq!(Recipients::new([], [reader]), Err(KeyError::NoEscrow));
}

#[test]
fn key_files_are_read_as_age_keygen_writes_them() {
    // Made by age-keygen 1.1.1 for this test.
    let file = include_str!("fixtures/test-key.txt");
    let keys = Identity::read_all(file).unwrap();
    let public = file.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let [key] = keys.as_slice() else { panic!("one key") };
    assert_eq!(key.recipient().to_string(), public);
    assert_eq!(key.recipient(), public.parse().unwrap());
    assert!(file.contains(&key.to_secret_text()));
    assert!(!format!("{key:?}").contains("SECRET"));
    assert_eq!(Identity::read_all("# nothing\n").unwrap_err(), KeyError::NoKeys);
    let secret_typo = "\nAGE-SECRET-KEY-1TYPO\n";
    assert_eq!(Identity::read_all(secret_typo).unwrap_err(), KeyError::NoIdentity(2));
    let typo = public.replacen("age1", "age2", 1);
    assert_eq!(typo.parse::<Recipient>(), Err(KeyError::NoRecipient(typo)));
}

#[test]
fn a_file_of_age_itself_is_read() {
    // `age -a -r …` of 1.1.1, for two recipients.
    let key = Identity::read_all(include_str!("fixtures/test-key.txt")).unwrap();
    let file = armor::unwrap(include_str!("fixtures/test-file.age")).unwrap();
    assert_eq!(age::unwrap(&file, &key, "").unwrap(), b"thirty-two bytes of a data key..");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read(bytes in 0_usize..700_000, packed: bool) {
        let (keys, recipients) = keys();
        let data = noise(bytes);
        let (shelf, summary) = written(&data, &recipients, packed);
        prop_assert_eq!(summary.bytes, bytes as u64);
        prop_assert!(read(&shelf, &summary, keys.reader).unwrap() == data);
    }

    /// Also when the manifest was forged to match the damage.
    #[test]
    fn a_flipped_bit_is_noticed(bytes in 0_usize..400_000, at: prop::sample::Index, bit in 0..8, packed: bool) {
        let (keys, recipients) = keys();
        let (mut shelf, mut summary) = written(&noise(bytes), &recipients, packed);
        let object = at.index(shelf.objects.len());
        let data = shelf.objects.get_mut(object).unwrap();
        let byte = at.index(data.len());
        *data.get_mut(byte).unwrap() ^= 1_u8 << bit;
        summary.objects.get_mut(object).unwrap().blake3 = blake3::hash(data).to_hex().to_string();
        prop_assert!(read(&shelf, &summary, keys.escrow).is_err());
    }

    #[test]
    fn a_cut_is_noticed(bytes in 0_usize..400_000, at: prop::sample::Index, packed: bool) {
        let (keys, recipients) = keys();
        let (mut shelf, mut summary) = written(&noise(bytes), &recipients, packed);
        let object = at.index(shelf.objects.len());
        let data = shelf.objects.get_mut(object).unwrap();
        data.truncate(at.index(data.len()));
        summary.objects.get_mut(object).unwrap().blake3 = blake3::hash(data).to_hex().to_string();
        prop_assert!(read(&shelf, &summary, keys.escrow).is_err());
    }

    #[test]
    fn segments_that_change_places_are_noticed(first in 0_usize..5, second in 0_usize..5, drop: bool) {
        prop_assume!(first != second);
        let (keys, recipients) = keys();
        let limits = Limits { object_bytes: 10_000_000, part_bytes: PART };
        let mut writer = StreamWriter::uncompressed(Shelf::default(), BACKUP, recipients, limits).unwrap();
        writer.write_all(&noise(5 << 16)).unwrap();
        let (mut shelf, mut summary) = writer.end().unwrap();
        let data = shelf.objects.first_mut().unwrap();
        let segment = (1 << 16) + 16;
        let head = data.len() - 5 * segment;
        let mut segments: Vec<_> = data.get(head..).unwrap().chunks(segment).map(<[u8]>::to_vec).collect();
        if drop {
            segments.remove(first);
        } else {
            segments.swap(first, second);
        }
        data.truncate(head);
        data.extend(segments.concat());
        summary.objects.first_mut().unwrap().blake3 = blake3::hash(data).to_hex().to_string();
        prop_assert!(read(&shelf, &summary, keys.escrow).is_err());
    }
}
