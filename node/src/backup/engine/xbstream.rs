//! The format of `mbstream` and `xbstream`, as far as a stream can be checked by it: pieces of files, each with its
//! checksum, each file with its end. Both programs themselves have been seen to end well over less.

use std::collections::BTreeMap;

use super::findings::FileEntry;

const MAGIC: [u8; 8] = *b"XBSTCK01";
/// Magic, flags and type.
const START: usize = 10;
/// The programs' own limit.
const PATH_MAX: usize = 512;
/// More files than any server has.
const FILES_MAX: usize = 4_000_000;
/// Files of which a part is missing still; the programs read a few at a time.
const OPEN_MAX: usize = 10_000;
/// A small file that is kept.
const KEPT_MAX: usize = 16 << 20;
/// Holes that one piece may name.
const HOLES_MAX: usize = 1 << 16;
/// Bit of a chunk that may be left out of account.
const IGNORABLE: u8 = 1;

/// Whose format: they differ in what `S` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// MariaDB's: `S` moves within a file, `R` renames one, `D` removes one.
    Mariadb,
    /// Percona's: `S` is a piece with holes.
    Percona,
}

/// The content of small files, by their paths.
pub type Kept = BTreeMap<String, Vec<u8>>;

/// Checks a stream as it goes by.
pub struct StreamCheck {
    flavour: Flavour,
    /// Whether the content of a file is kept, by its path.
    keeps: fn(&str) -> bool,
    head: Vec<u8>,
    payload: Option<Payload>,
    open: BTreeMap<String, Open>,
    files: BTreeMap<String, u64>,
    kept: Kept,
    at: u64,
}

/// A piece of a file on its way.
struct Payload {
    path: String,
    left: u64,
    expected: u32,
    crc: crc32fast::Hasher,
}

#[derive(Default)]
struct Open {
    at: u64,
    bytes: u64,
    has_holes: bool,
}

/// What a chunk's head says.
enum Chunk {
    Piece { path: String, length: u64, offset: u64, crc: u32, holes: Option<Vec<u8>> },
    End(String),
    Remove(String),
    Rename(String, String),
    Seek(String, u64),
}

/// A head that is not complete yet has that many bytes at least.
enum Head {
    Needs(usize),
    Is(Chunk),
}

impl StreamCheck {
    /// Of a stream from its beginning on. `keeps` says which small files are kept.
    #[must_use]
    pub fn new(flavour: Flavour, keeps: fn(&str) -> bool) -> Self {
        let (open, files, kept) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { flavour, keeps, head: Vec::new(), payload: None, open, files, kept, at: 0 }
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// Where it is no such stream, or damaged.
    pub fn feed(&mut self, mut data: &[u8]) -> Result<(), String> {
        while !data.is_empty() {
            let taken = if self.payload.is_some() { self.take_payload(data)? } else { self.take_head(data)? };
            self.at += taken as u64;
            data = data.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The stream has ended: every file by name, and those that were kept.
    ///
    /// # Errors
    /// It has ended in the middle of something, or has nothing in it.
    pub fn finish(self) -> Result<(Vec<FileEntry>, Kept), String> {
        let unfinished = self.payload.as_ref().map(|p| &p.path).or_else(|| self.open.keys().next());
        if let Some(path) = unfinished {
            return Err(format!("the stream ends in the middle of {path}"));
        }
        if !self.head.is_empty() || self.files.is_empty() {
            return Err(format!("the stream ends too early, after {} bytes", self.at));
        }
        let files = self.files.into_iter().map(|(name, bytes)| FileEntry { name, bytes }).collect();
        Ok((files, self.kept))
    }

    fn take_head(&mut self, data: &[u8]) -> Result<usize, String> {
        let mut taken = 0;
        loop {
            match head_of(&self.head, self.flavour).map_err(|why| format!("byte {}: {why}", self.at))? {
                Head::Needs(bytes) => {
                    let rest = data.get(taken..).unwrap_or_default();
                    let now = bytes.saturating_sub(self.head.len()).min(rest.len());
                    self.head.extend_from_slice(rest.get(..now).unwrap_or_default());
                    taken += now;
                    if now == 0 {
                        return Ok(taken);
                    }
                }
                Head::Is(chunk) => {
                    self.head.clear();
                    self.begin(chunk)?;
                    return Ok(taken);
                }
            }
        }
    }

    fn take_payload(&mut self, data: &[u8]) -> Result<usize, String> {
        let Some(payload) = &mut self.payload else { return Ok(0) };
        let taken = data.len().min(usize::try_from(payload.left).unwrap_or(usize::MAX));
        let now = data.get(..taken).unwrap_or_default();
        payload.crc.update(now);
        payload.left -= taken as u64;
        if let Some(kept) = self.kept.get_mut(&payload.path) {
            if kept.len() + taken > KEPT_MAX {
                return Err(format!("{} is larger than it ever should be", payload.path));
            }
            kept.extend_from_slice(now);
        }
        self.end_payload()?;
        Ok(taken)
    }

    fn end_payload(&mut self) -> Result<(), String> {
        let Some(payload) = self.payload.take_if(|payload| payload.left == 0) else { return Ok(()) };
        if payload.crc.finalize() == payload.expected {
            return Ok(());
        }
        Err(format!("{} was damaged on its way: a checksum is wrong", payload.path))
    }

    fn begin(&mut self, chunk: Chunk) -> Result<(), String> {
        match chunk {
            Chunk::Piece { path, length, offset, crc, holes } => {
                if (self.keeps)(&path) {
                    self.kept.entry(path.clone()).or_default();
                }
                let open = self.opened(&path)?;
                open.has_holes |= holes.is_some();
                if open.at != offset && !open.has_holes {
                    return Err(format!("a piece of {path} is missing at its byte {}", open.at));
                }
                open.at = offset.saturating_add(length);
                open.bytes = open.bytes.saturating_add(length);
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(&holes.unwrap_or_default());
                self.payload = Some(Payload { path, left: length, expected: crc, crc: hasher });
                self.end_payload()
            }
            Chunk::End(path) => {
                let open = self.open.remove(&path).unwrap_or_default();
                self.files.insert(path, open.bytes);
                if self.files.len() > FILES_MAX {
                    Err("it has more files than any server".into())
                } else {
                    Ok(())
                }
            }
            Chunk::Remove(path) => {
                self.open.remove(&path);
                self.files.remove(&path);
                Ok(())
            }
            Chunk::Rename(from, to) => {
                let moved =
                    self.files.remove(&from).ok_or_else(|| format!("{from} is renamed and is not there"))?;
                self.files.insert(to, moved);
                Ok(())
            }
            Chunk::Seek(path, offset) => {
                self.opened(&path)?.at = offset;
                Ok(())
            }
        }
    }

    fn opened(&mut self, path: &str) -> Result<&mut Open, String> {
        if self.open.len() > OPEN_MAX {
            return Err("it has more files at once than it ever should".into());
        }
        Ok(self.open.entry(path.to_owned()).or_default())
    }
}

fn head_of(head: &[u8], flavour: Flavour) -> Result<Head, String> {
    let mut read = Reader { data: head, needs: 0 };
    match chunk_of(&mut read, flavour) {
        Ok(Some(chunk)) => Ok(Head::Is(chunk)),
        Ok(None) => Ok(Head::Needs(read.needs)),
        Err(why) => Err(why),
    }
}

/// `None` while there is not enough of it.
fn chunk_of(read: &mut Reader<'_>, flavour: Flavour) -> Result<Option<Chunk>, String> {
    let Some(start) = read.bytes(START) else { return Ok(None) };
    let (magic, rest) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("this is no such stream".into());
    }
    let &[flags, kind] = rest else { return Ok(None) };
    let Some(path) = read.path()? else { return Ok(None) };
    let chunk = match (kind, flavour) {
        (b'E', _) => Some(Chunk::End(path)),
        (b'P', _) => read.piece(path, false)?,
        (b'S', Flavour::Percona) => read.piece(path, true)?,
        (b'S', Flavour::Mariadb) => read.number(8).map(|offset| Chunk::Seek(path, offset)),
        (b'D', Flavour::Mariadb) => Some(Chunk::Remove(path)),
        (b'R', Flavour::Mariadb) => read.path()?.map(|to| Chunk::Rename(path, to)),
        (b'\0', _) if flags & IGNORABLE != 0 => read.piece(path, false)?,
        _ => return Err(format!("it has a chunk of the unknown kind {kind:#x}")),
    };
    Ok(chunk)
}

struct Reader<'a> {
    data: &'a [u8],
    needs: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        self.needs += count;
        let (now, later) = self.data.split_at_checked(count)?;
        self.data = later;
        Some(now)
    }

    /// The smallest end first.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        let bytes = self.bytes(bytes)?;
        Some(bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn path(&mut self) -> Result<Option<String>, String> {
        let Some(length) = self.number(4) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 || length > PATH_MAX {
            return Err(format!("it has a path of {length} bytes"));
        }
        let Some(path) = self.bytes(length) else { return Ok(None) };
        let path = String::from_utf8_lossy(path);
        Ok(Some(path.strip_prefix("./").unwrap_or(&path).to_owned()))
    }

    fn piece(&mut self, path: String, has_holes: bool) -> Result<Option<Chunk>, String> {
        let mut count = 0;
        if has_holes {
            let Some(holes) = self.number(4) else { return Ok(None) };
            count = usize::try_from(holes).unwrap_or(usize::MAX);
            if count > HOLES_MAX {
                return Err(format!("a piece of {path} has {count} holes"));
            }
        }
        let numbers = (self.number(8), self.number(8), self.number(4));
        let (Some(length), Some(offset), Some(crc)) = numbers else { return Ok(None) };
        let holes =
            if has_holes { self.bytes(count * 8).map(|holes| Some(holes.to_vec())) } else { Some(None) };
        let crc = u32::try_from(crc).unwrap_or_default();
        Ok(holes.map(|holes| Chunk::Piece { path, length, offset, crc, holes }))
    }
}

/// A stream as the programs write it, for tests.
#[cfg(test)]
pub(super) mod testing {
    use super::MAGIC;

    fn path(path: &str) -> Vec<u8> {
        [&(path.len() as u32).to_le_bytes()[..], path.as_bytes()].concat()
    }

    pub(in crate::backup::engine) fn chunk(kind: u8, name: &str, rest: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &[0, kind], &path(name), rest].concat()
    }

    pub(in crate::backup::engine) fn piece(name: &str, offset: u64, data: &[u8]) -> Vec<u8> {
        let crc = crc32fast::hash(data).to_le_bytes();
        let rest = [&(data.len() as u64).to_le_bytes()[..], &offset.to_le_bytes(), &crc, data].concat();
        chunk(b'P', name, &rest)
    }

    pub(in crate::backup::engine) fn file(name: &str, data: &[u8]) -> Vec<u8> {
        [piece(name, 0, data), chunk(b'E', name, &[])].concat()
    }

    pub(in crate::backup::engine) fn renamed(from: &str, to: &str) -> Vec<u8> {
        chunk(b'R', from, &path(to))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::testing::{chunk, file, piece, renamed};
    use super::*;

    fn checked(flavour: Flavour, stream: &[u8], step: usize) -> Result<Vec<(String, u64)>, String> {
        let mut check = StreamCheck::new(flavour, |path| path == "info");
        for data in stream.chunks(step) {
            check.feed(data)?;
        }
        let (files, kept) = check.finish()?;
        assert!(kept.keys().all(|path| path == "info"));
        Ok(files.into_iter().map(|file| (file.name, file.bytes)).collect())
    }

    fn whole() -> Vec<u8> {
        let parts = [
            piece("a/b.ibd", 0, b"one"),
            file("info", b"x"),
            piece("a/b.ibd", 3, b"two!"),
            chunk(b'E', "a/b.ibd", &[]),
        ];
        [parts.concat(), file("./c", b"gone"), chunk(b'D', "c", &[]), file("d", b""), renamed("d", "e")]
            .concat()
    }

    #[test]
    fn a_whole_stream_is_one_however_it_comes() {
        let files = [("a/b.ibd", 7), ("e", 0), ("info", 1)].map(|(name, bytes)| (name.to_owned(), bytes));
        for step in [1, 2, 7, 64, 10_000] {
            assert_eq!(checked(Flavour::Mariadb, &whole(), step).unwrap(), files, "{step}");
        }
    }

    #[test]
    fn a_cut_anywhere_is_noticed_but_between_files() {
        let stream = whole();
        let ends: Vec<usize> = (0..stream.len())
            .filter(|end| checked(Flavour::Mariadb, stream.get(..*end).unwrap(), 64).is_ok())
            .collect();
        // After a chunk while no file is open the stream itself does not tell; its last file does, and the trailer.
        assert_eq!(ends.len(), 4, "{ends:?}");
    }

    #[test]
    fn damage_is_noticed() {
        let stream = whole();
        for at in 0..stream.len() {
            let mut damaged = stream.clone();
            *damaged.get_mut(at).unwrap() ^= 0x40;
            let files = checked(Flavour::Mariadb, &damaged, 64);
            let is_name_or_flag = files
                .as_ref()
                .is_ok_and(|f| f.len() == 3 || *f != checked(Flavour::Mariadb, &stream, 64).unwrap());
            assert!(files.is_err() || is_name_or_flag, "{at}: {files:?}");
        }
        let mut damaged = stream.clone();
        let at = stream.windows(4).position(|w| w == b"two!").unwrap();
        *damaged.get_mut(at).unwrap() ^= 1;
        let error = checked(Flavour::Mariadb, &damaged, 64).unwrap_err();
        assert_eq!(error, "a/b.ibd was damaged on its way: a checksum is wrong");
    }

    #[test]
    fn pieces_come_in_order() {
        let stream = [piece("a", 0, b"one"), piece("a", 5, b"two")].concat();
        assert_eq!(
            checked(Flavour::Mariadb, &stream, 64).unwrap_err(),
            "a piece of a is missing at its byte 3"
        );
        let error = checked(Flavour::Mariadb, b"-- MariaDB dump", 64).unwrap_err();
        assert_eq!(error, "byte 0: this is no such stream");
        assert_eq!(
            checked(Flavour::Mariadb, b"", 64).unwrap_err(),
            "the stream ends too early, after 0 bytes"
        );
    }

    #[test]
    fn percona_writes_pieces_with_holes() {
        let (holes, data) = ([7_u8; 8], b"data");
        let crc = crc32fast::hash(&[&holes[..], data].concat()).to_le_bytes();
        let head = [&1_u32.to_le_bytes()[..], &4_u64.to_le_bytes(), &0_u64.to_le_bytes(), &crc];
        let rest = [head.concat(), holes.to_vec(), data.to_vec()].concat();
        let stream =
            [chunk(b'S', "t.ibd", &rest), piece("t.ibd", 900, b"x"), chunk(b'E', "t.ibd", &[])].concat();
        assert_eq!(checked(Flavour::Percona, &stream, 3).unwrap(), [("t.ibd".to_owned(), 5)]);
    }
}
