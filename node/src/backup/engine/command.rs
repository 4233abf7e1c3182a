//! Any program: all that is known of its stream is its length.

use super::Inspector;
use super::findings::Findings;

pub(super) struct Check {
    bytes: u64,
    bytes_min: u64,
}

impl Check {
    /// Less than `bytes_min` cannot be right; nothing never is.
    pub(super) fn new(bytes_min: u64) -> Self {
        Self { bytes: 0, bytes_min: bytes_min.max(1) }
    }
}

impl Inspector for Check {
    fn feed(&mut self, data: &[u8]) -> Result<(), String> {
        self.bytes += data.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>, _log: &str) -> Result<Findings, String> {
        let (bytes, least) = (self.bytes, self.bytes_min);
        if bytes < least {
            return Err(format!("the program wrote {bytes} bytes, and fewer than {least} cannot be right"));
        }
        Ok(Findings::default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn too_little_is_no_backup() {
        let of = |bytes: usize, least| {
            let mut check = Box::new(Check::new(least));
            check.feed(&vec![0; bytes]).unwrap();
            check.finish("")
        };
        assert!(of(0, 0).is_err());
        assert!(of(9, 10).unwrap_err().contains("fewer than 10"));
        assert!(of(10, 10).is_ok());
    }
}
