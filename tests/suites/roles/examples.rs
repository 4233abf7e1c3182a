//! The examples of docs/hooks.md, as they stand there: the address that follows the writer, and the key in Consul.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, HTTP_PORT};
use baton_tests::documents::blocks;
use baton_tests::sandbox::{Dialect, Hosts, until, within};
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::{SOON, switchover};

/// Of the example.
const ADDRESS: &str = "10.0.0.100";
/// The client's, in the same network.
const CLIENT: &str = "10.0.0.250/24";

/// Writes a program that anybody may run.
fn program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// A cluster with the hooks of the document, and the script's path. What it calls to tell the neighbours is replaced: a
/// machine for tests may not have it, and the client's host is told by hand.
async fn with_address() -> Result<(Cluster, PathBuf)> {
    const HEADING: &str = "A floating IP address";
    let [hooks] = <[String; 1]>::try_from(blocks("hooks.md", HEADING, "toml")?)
        .map_err(|b| anyhow::anyhow!("{b:?}"))?;
    let [script] =
        <[String; 1]>::try_from(blocks("hooks.md", HEADING, "sh")?).map_err(|b| anyhow::anyhow!("{b:?}"))?;
    let installed = "\"/usr/local/bin/baton-address\"";
    ensure!(hooks.matches(installed).count() == 4, "{hooks}");
    let here =
        "\"/usr/bin/env\", \"PATH={root}/bin:/usr/sbin:/usr/bin:/sbin:/bin\", \"{root}/bin/baton-address\"";
    let sections = format!("\n{}", hooks.replace(installed, here));
    let cluster =
        Cluster::observing(ClusterOptions { sections, ..ClusterOptions::patient(Dialect::MySql) }).await?;
    let bin = cluster.folder().join("bin");
    fs::create_dir(&bin)?;
    let told = bin.join("told");
    program(&bin.join("arping"), &format!("#!/bin/sh\necho \"$@\" >> {}\n", told.display()))?;
    program(&bin.join("baton-address"), &script)?;
    cluster.ctl().adopt("db1").await?;
    cluster.settled().await?;
    Ok((cluster, bin))
}

/// Runs a program on a host to its end.
async fn runs(mut command: Command) -> Result<String> {
    let output =
        within("a program", SOON, command.stderr(Stdio::piped()).stdout(Stdio::piped()).output()).await?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The nodes on whose host the address is.
async fn holders(cluster: &Cluster) -> Result<Vec<&'static str>> {
    let mut holders = Vec::new();
    for node in cluster.data_nodes() {
        let mut look = cluster.host(node)?.command("ip");
        look.args(["-o", "-4", "address", "show", "dev", "eth0"]);
        if runs(look).await?.contains(&format!(" {ADDRESS}/24 ")) {
            holders.push(node);
        }
    }
    Ok(holders)
}

/// Waits until the address is on this node's host alone, and leads there from the client's.
async fn leads_to(cluster: &Cluster, node: &str) -> Result<()> {
    let there = async || {
        let holders = holders(cluster).await?;
        ensure!(holders == [node], "{holders:?}");
        Ok(Some(()))
    };
    until(&format!("the address at {node}"), SOON, there).await.map_err(|error| cluster.explained(error))?;
    let client = cluster.sandbox().client();
    let mut forget = client.command("ip");
    forget.args(["neighbour", "flush", "dev", "eth0"]);
    runs(forget).await?;
    let asked = async || {
        let page = client.run(async {
            let mut stream = TcpStream::connect((ADDRESS, HTTP_PORT)).await?;
            stream.write_all(b"GET /primary HTTP/1.0\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        });
        let page = page.await?;
        ensure!(page.split(' ').nth(1) == Some("200"), "{page}");
        Ok(Some(()))
    };
    until("the writer at the address", SOON, asked).await.map_err(|error| cluster.explained(error))
}

#[tokio::test]
async fn the_address_of_the_example_follows_the_writer() -> Result<()> {
    let missing = (!is_there("curl")).then(|| "curl is not on PATH".to_owned());
    if let Some(reason) = Hosts::available().err().or(missing) {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let (mut cluster, bin) = with_address().await?;
    let mut client = cluster.sandbox().client().command("ip");
    client.args(["address", "add", CLIENT, "dev", "eth0"]);
    runs(client).await?;
    ensure!(holders(&cluster).await?.is_empty(), "an adoption is no move");
    let mut first = cluster.host("db1")?.command("/usr/bin/env");
    first
        .arg(format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()))
        .arg(bin.join("baton-address"))
        .arg("on");
    runs(first).await?;
    leads_to(&cluster, "db1").await?;

    switchover(&cluster, "db2").await?;
    leads_to(&cluster, "db2").await?;
    cluster.settled().await?;

    // Taken back: `before_close` has taken it away, and it returns.
    let writer = cluster.server("db2")?;
    writer.execute(["CREATE TABLE app.other (id INT PRIMARY KEY)"]).await?;
    let mut holder = writer.connect().await?;
    holder.query_drop("LOCK TABLES app.other WRITE").await?;
    let announced = told(&bin)?;
    let undone = cluster.ctl().switchover(&["--to", "db1", "--max-pause", "300ms"]).await?;
    ensure!(!undone.moved, "{undone:#?}");
    if undone.tried {
        let again = async || Ok((told(&bin)? > announced).then_some(()));
        until("the address to come back", SOON, again).await.map_err(|error| cluster.explained(error))?;
    }
    drop(holder);
    leads_to(&cluster, "db2").await?;

    cluster.server("db2")?.kill(Signal::KILL)?;
    let after = cluster.moved_from("db2").await?;
    leads_to(&cluster, &after.writer).await?;
    cluster.server_mut("db2")?.wait_exit(SOON).await?;
    Ok(())
}

/// How often neighbours were told.
fn told(bin: &Path) -> Result<usize> {
    let told = fs::read_to_string(bin.join("told"))?;
    ensure!(told.lines().all(|line| line.ends_with(&format!("-I eth0 {ADDRESS}"))), "{told}");
    Ok(told.lines().count())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A stand-in for Consul's store of keys, with one key: answers GET and PUT until it is dropped.
async fn serve_key(listener: TcpListener) -> Result<()> {
    let mut value: Option<String> = None;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = Vec::new();
        let body = loop {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await?;
            ensure!(read > 0, "half a request");
            request.extend(&part[..read]);
            let text = String::from_utf8_lossy(&request);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(Ok(0), str::parse::<usize>)? {
                break body.to_owned();
            }
        };
        let answer = match (request.starts_with(b"PUT /v1/kv/baton/shop/writer "), &value) {
            (true, _) => {
                value = Some(body);
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntrue".to_owned()
            }
            (false, None) => {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
            }
            (false, Some(value)) => {
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{value}",
                    value.len()
                )
            }
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// The newest epoch stands there, in whatever order the events come.
#[tokio::test]
async fn the_key_of_the_example_goes_by_the_newest_epoch() -> Result<()> {
    if let Some(missing) = ["curl", "jq"].into_iter().find(|program| !is_there(program)) {
        eprintln!("skipped: {missing} is not on PATH");
        return Ok(());
    }
    let script = blocks("hooks.md", "Consul", "sh")?.pop().context("no script")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let consul = listener.local_addr()?.to_string();
    let key = format!("http://{consul}/v1/kv/baton/shop/writer");
    let script = script.replace("127.0.0.1:8500", &consul);
    ensure!(script.contains(&key), "{script}");
    let serving = tokio::spawn(serve_key(listener));
    for (epoch, expected) in [(7, 7), (9, 9), (8, 9), (9, 9), (10, 10)] {
        let mut hook = Command::new("/bin/sh");
        let mut running = hook
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let event = format!("{{\"hook\":\"consul\",\"to_epoch\":{epoch},\"to\":\"db2\"}}\n");
        running.stdin.take().context("no input")?.write_all(event.as_bytes()).await?;
        ensure!(
            within("the hook", Duration::from_secs(10), running.wait()).await?.success(),
            "epoch {epoch}"
        );
        let mut ask = Command::new("curl");
        ask.args(["-fsS", &format!("{key}?raw")]);
        let stands: serde_json::Value = serde_json::from_str(&runs(ask).await?)?;
        ensure!(stands["to_epoch"] == expected, "after {epoch}: {stands}");
    }
    serving.abort();
    Ok(())
}
