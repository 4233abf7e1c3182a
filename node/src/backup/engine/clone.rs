//! MySQL's CLONE: the server writes a copy of its InnoDB data into a folder beside its own; that becomes the stream, as an
//! archive of files, and goes. It needs no other tool, and as much room as the data has.

use std::ffi::OsString;
use std::path::Path;

use super::Inspector;
use super::findings::Findings;
use super::tar::TarCheck;

/// Without these no copy is one.
const NEEDED: [&str; 2] = ["ibdata1", "mysql.ibd"];

/// The program that reads the copy in `folder`.
pub(super) fn words(folder: &Path) -> Vec<OsString> {
    let options = ["tar", "--create", "--file=-", "--format=gnu", "--directory"].map(OsString::from);
    options.into_iter().chain([folder.into(), ".".into()]).collect()
}

#[derive(Default)]
pub(super) struct Check(TarCheck);

impl Inspector for Check {
    fn feed(&mut self, data: &[u8]) -> Result<(), String> {
        self.0.feed(data)
    }

    fn finish(self: Box<Self>, _log: &str) -> Result<Findings, String> {
        let inventory = self.0.finish()?;
        for name in NEEDED {
            if !inventory.iter().any(|file| file.name == name && file.bytes > 0) {
                return Err(format!("the copy has no {name}"));
            }
        }
        Ok(Findings { inventory, ..Findings::default() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tar::archive;
    use super::*;

    #[test]
    fn a_copy_has_the_system_tablespaces() {
        let found = |files: &[(&str, &[u8])]| {
            let mut check = Box::new(Check::default());
            check.feed(&archive(files)).unwrap();
            check.finish("").map(|found| found.inventory.len())
        };
        assert_eq!(found(&[("./ibdata1", b"x"), ("./mysql.ibd", b"x"), ("./app/t.ibd", b"x")]), Ok(3));
        assert_eq!(found(&[("./ibdata1", b"x")]), Err("the copy has no mysql.ibd".into()));
        assert_eq!(
            found(&[("./ibdata1", b""), ("./mysql.ibd", b"x")]),
            Err("the copy has no ibdata1".into())
        );
    }
}
