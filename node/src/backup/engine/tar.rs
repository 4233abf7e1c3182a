//! The format of `tar`, as far as a stream can be checked by it: each file's head has a checksum, and the end is marked.

use super::findings::FileEntry;

const BLOCK: usize = 512;
/// Two empty blocks end an archive.
const EMPTY_BLOCKS: u32 = 2;
/// More files than any server has.
const FILES_MAX: usize = 4_000_000;
/// A name that does not fit a head comes as a file of its own before it.
const NAME_MAX: u64 = 4096;

/// Checks a stream as it goes by.
#[derive(Default)]
pub(super) struct TarCheck {
    block: Vec<u8>,
    /// Bytes of a file, and of what fills its last block, that are still to come.
    left: u64,
    long_name: Option<Vec<u8>>,
    /// Bytes of the long name that are still to come.
    naming: u64,
    empty: u32,
    files: Vec<FileEntry>,
}

impl TarCheck {
    /// Takes the next piece of the stream.
    pub(super) fn feed(&mut self, mut data: &[u8]) -> Result<(), String> {
        while !data.is_empty() {
            let taken = if self.left > 0 { self.skip(data) } else { self.take_block(data)? };
            data = data.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Every file, by name.
    pub(super) fn finish(mut self) -> Result<Vec<FileEntry>, String> {
        if self.empty < EMPTY_BLOCKS || self.left > 0 || !self.block.is_empty() {
            return Err("the archive of files has no end".into());
        }
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(self.files)
    }

    fn skip(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if let Some(name) = self.long_name.as_mut().filter(|_| self.naming > 0) {
            let part = taken.min(usize::try_from(self.naming).unwrap_or(usize::MAX));
            name.extend_from_slice(data.get(..part).unwrap_or_default());
            self.naming -= part as u64;
        }
        self.left -= taken as u64;
        taken
    }

    fn take_block(&mut self, data: &[u8]) -> Result<usize, String> {
        let taken = (BLOCK - self.block.len()).min(data.len());
        self.block.extend_from_slice(data.get(..taken).unwrap_or_default());
        if self.block.len() == BLOCK {
            let block = std::mem::take(&mut self.block);
            self.head(&block)?;
        }
        Ok(taken)
    }

    fn head(&mut self, block: &[u8]) -> Result<(), String> {
        if block.iter().all(|byte| *byte == 0) {
            self.empty += 1;
            return Ok(());
        }
        let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
        if self.empty > 0 || field(257, 262) != b"ustar" {
            return Err("this is no archive of files".into());
        }
        // The checksum's own field counts as blanks.
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(i, b)| u64::from(if (148..156).contains(&i) { b' ' } else { *b }))
            .sum();
        if number(field(148, 156)) != Some(sum) {
            return Err("the archive of files is damaged: a checksum is wrong".into());
        }
        let size = number(field(124, 136)).ok_or("the archive of files has a file without a size")?;
        self.left = size.div_ceil(BLOCK as u64) * BLOCK as u64;
        match block.get(156) {
            Some(b'L') if size > NAME_MAX => Err("the archive of files has an impossible name".into()),
            Some(b'L') => {
                (self.long_name, self.naming) = (Some(Vec::new()), size);
                Ok(())
            }
            Some(b'0' | 0) => {
                let name = self.long_name.take().unwrap_or_else(|| field(0, 100).to_vec());
                self.file(&text(&name), size)
            }
            _ => {
                self.long_name = None;
                Ok(())
            }
        }
    }

    fn file(&mut self, name: &str, bytes: u64) -> Result<(), String> {
        if self.files.len() >= FILES_MAX {
            return Err("it has more files than any server".into());
        }
        let name = name.strip_prefix("./").unwrap_or(name).to_owned();
        self.files.push(FileEntry { name, bytes });
        Ok(())
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

/// In octal digits, or, from 8 GiB on, in binary with the first bit set.
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first() {
        Some((0x80, rest)) => {
            rest.iter().try_fold(0_u64, |n, byte| n.checked_mul(256)?.checked_add(u64::from(*byte)))
        }
        _ => u64::from_str_radix(text(field).trim(), 8).ok(),
    }
}

/// An archive of one file, for tests.
#[cfg(test)]
pub(super) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in files {
        let mut head = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| {
            for (to, from) in head.iter_mut().skip(at).zip(text.bytes()) {
                *to = from;
            }
        };
        put(0, name);
        put(124, &format!("{:011o}", data.len()));
        put(148, "        ");
        put(156, "0");
        put(257, "ustar  ");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        for (to, from) in head.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
            *to = from;
        }
        out.extend_from_slice(&head);
        out.extend_from_slice(data);
        out.resize(out.len().div_ceil(BLOCK) * BLOCK, 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn checked(stream: &[u8], step: usize) -> Result<Vec<FileEntry>, String> {
        let mut check = TarCheck::default();
        for piece in stream.chunks(step) {
            check.feed(piece)?;
        }
        check.finish()
    }

    #[test]
    fn an_archive_is_one_however_it_comes() {
        let stream = archive(&[("./mysql.ibd", &[7; 700]), ("./app/t.ibd", b""), ("./ibdata1", &[1; 512])]);
        for step in [1, 100, 512, 10_000] {
            let files: Vec<_> =
                checked(&stream, step).unwrap().into_iter().map(|f| (f.name, f.bytes)).collect();
            let expected = [("app/t.ibd", 0), ("ibdata1", 512), ("mysql.ibd", 700)];
            assert_eq!(files, expected.map(|(name, bytes)| (name.to_owned(), bytes)));
        }
    }

    #[test]
    fn a_cut_or_a_wrong_head_is_noticed() {
        let stream = archive(&[("./mysql.ibd", &[7; 700])]);
        for end in 0..stream.len() {
            assert!(checked(stream.get(..end).unwrap(), 512).is_err(), "{end}");
        }
        for at in [0, 130, 150] {
            let mut damaged = stream.clone();
            *damaged.get_mut(at).unwrap() ^= 1;
            assert!(checked(&damaged, 512).unwrap_err().contains("damaged"), "{at}");
        }
        assert!(checked(&[b'x'; 1024], 512).unwrap_err().contains("no archive"));
    }

    #[test]
    fn sizes_beyond_octal_digits() {
        assert_eq!(number(b"00000001274\0"), Some(700));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]), Some(3 << 32));
    }
}
