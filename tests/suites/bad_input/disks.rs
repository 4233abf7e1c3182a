//! The folder of the node's store, and the store itself.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};
use baton_tests::cluster::NAME;

use crate::bench::Bench;
use crate::certificates;

/// $1: what is mounted and how, with the data folder as $DATA. Runs the rest with that mount, which nobody else sees, and
/// writes down what was in the folder before and after.
const MOUNTED: &str = r#"
set -e
eval "$1"
shift
look() { (cd "$DATA" && find . -mindepth 1 -exec ls -ld --time-style=full-iso {} + && find . -type f -exec cksum {} +) >"$SEEN.$1"; }
look before
code=0
"$@" || code=$?
look after
exit $code
"#;

/// The node does not start with something mounted, and what it finds there stays as it is.
async fn refuses_with(bench: &Bench, mount: &str, words: &[&str]) -> Result<()> {
    let seen = bench.host().folder().join("seen");
    let data = format!("DATA={}", bench.data().display());
    let out = format!("SEEN={}", seen.display());
    let user = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let before = ["env", &data, &out, "unshare", user, "sh", "-c", MOUNTED, "sh", mount];
    bench.refuses_within(&before, words).await?;
    let look = |when: &str| fs::read_to_string(seen.with_extension(when));
    ensure!(look("before")? == look("after")?, "changed: {} {}", look("before")?, look("after")?);
    Ok(())
}

fn store(bench: &Bench) -> String {
    bench.data().join("group.db").display().to_string()
}

#[tokio::test]
async fn a_full_disk() -> Result<()> {
    let bench = Bench::new().await?;
    let mount =
        "mount -t tmpfs -o size=64k none \"$DATA\"; dd if=/dev/zero of=\"$DATA/full\" 2>/dev/null || true";
    refuses_with(&bench, mount, &[&store(&bench), "full", "free some space"]).await
}

#[tokio::test]
async fn a_read_only_disk() -> Result<()> {
    let bench = Bench::new().await?;
    let mount = "mount --bind \"$DATA\" \"$DATA\"; mount -o remount,bind,ro \"$DATA\"";
    refuses_with(&bench, mount, &[&store(&bench), "writable"]).await
}

#[tokio::test]
async fn a_store_on_a_read_only_disk() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.make_store().await?;
    let mount = "mount --bind \"$DATA\" \"$DATA\"; mount -o remount,bind,ro \"$DATA\"";
    refuses_with(&bench, mount, &[&store(&bench), "writable"]).await
}

#[tokio::test]
async fn the_data_folder_is_a_file() -> Result<()> {
    let bench = Bench::new().await?;
    fs::remove_dir(bench.data())?;
    fs::write(bench.data(), "")?;
    bench.refuses(&["paths.data", &bench.data().display().to_string(), "directory"]).await
}

#[tokio::test]
async fn a_store_that_is_no_store() -> Result<()> {
    let bench = Bench::new().await?;
    fs::write(bench.data().join("group.db"), "not what it was ".repeat(1000))?;
    bench.refuses(&[&store(&bench), "damaged", "batonctl node remove"]).await
}

#[tokio::test]
async fn a_store_with_a_damaged_page() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.make_store().await?;
    let path = bench.data().join("group.db");
    let (page, length) = (4096, fs::metadata(&path)?.len());
    ensure!(length >= 3 * page, "a store of {length} bytes");
    let file = OpenOptions::new().write(true).open(&path)?;
    for at in (page..length).step_by(4096) {
        file.write_all_at(&[0xa5; 512], at)?;
    }
    bench.refuses(&[&store(&bench), "damaged", "batonctl node remove"]).await
}

#[tokio::test]
async fn a_store_of_another_cluster() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.form_group().await?;
    certificates::other(&bench, "warehouse", 0)?;
    bench.replace("/tls/ca.pem", "/other-tls/ca.pem")?;
    bench.replace(&format!("[cluster]\nname = \"{NAME}\""), "[cluster]\nname = \"warehouse\"")?;
    bench.refuses(&[&store(&bench), NAME, "warehouse", "correct the name"]).await
}

#[tokio::test]
async fn a_store_copied_from_another_machine() -> Result<()> {
    if !Path::new("/etc/machine-id").exists() {
        eprintln!("skipped: this machine has no id");
        return Ok(());
    }
    let mut bench = Bench::new().await?;
    bench.make_store().await?;
    fs::write(bench.host().folder().join("id"), "0123456789abcdef0123456789abcdef\n")?;
    let mount = "mount --bind \"$DATA/../../id\" /etc/machine-id";
    refuses_with(&bench, mount, &[&store(&bench), "another machine", "move it away", "batonctl node add"])
        .await
}
