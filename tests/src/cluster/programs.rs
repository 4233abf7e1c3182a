//! Where the programs under test are.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// `baton-node` or `batonctl`: named by `variable`, else beside this program, which cargo puts into the same folder, a
/// test into `deps` below it.
///
/// # Errors
/// It is not there; the message says what to do.
pub fn find(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe().context("where is this program?")?;
    let folder = own.parent().context("this program is in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = folder.join(name);
    ensure!(
        path.is_file(),
        "{} is not there: run `cargo build --workspace --bins` first, or name it in {variable}",
        path.display()
    );
    Ok(path)
}
