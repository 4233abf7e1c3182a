//! Which store is meant: a folder, a bucket, or one that a configuration names. A node's own configuration does, and so does a
//! file with nothing else in it: on an empty machine there is no more.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::backup::run::{StorePlace, StoreSpec};

/// Where a node's configuration is.
const CONFIG: &str = "/etc/baton/baton.toml";
/// In a path of the configuration: the node's name.
const NODE: &str = "{node}";
const BUCKET: &str = "s3://";
const REGION: &str = "us-east-1";

/// How a store is named on the command line.
#[derive(Args, Debug, Clone, Default)]
pub struct StoreArgs {
    /// A folder, s3://BUCKET[/PREFIX], or the name of a [[store]] in --config
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// A file with [[store]] sections, such as a node's configuration [default: /etc/baton/baton.toml]
    #[arg(long, env = "BATON_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node whose store is meant, where a path in that file has {node} in it
    #[arg(long, env = "BATON_NODE")]
    pub node: Option<String>,
    /// Of a bucket: https://HOST, without the bucket
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Of a bucket: its region, as the store names it [default: us-east-1]
    #[arg(long)]
    pub region: Option<String>,
    /// Of a bucket: a file with aws_access_key_id = … and aws_secret_access_key = …
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Of a bucket: authorities in place of those that the world trusts
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The cluster, where the store has backups of more than one
    #[arg(long)]
    pub cluster: Option<String>,
}

/// As much of a configuration as is needed here; whatever else is in it may be wrong.
#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    store: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    path: Option<PathBuf>,
    endpoint: Option<String>,
    bucket: Option<String>,
    region: Option<String>,
    prefix: Option<String>,
    credentials_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Files,
    S3,
}

impl StoreArgs {
    /// The store. `read` gives the text of a file.
    ///
    /// # Errors
    /// What is missing, in words.
    pub(super) fn place(
        &self,
        read: impl FnOnce(&Path) -> Result<String, String>,
    ) -> Result<StoreSpec, String> {
        match self.store.as_deref() {
            Some(bucket) if bucket.starts_with(BUCKET) => self.bucket(bucket),
            Some(folder) if self.config.is_none() && folder.contains('/') => {
                Ok(spec(folder, StorePlace::Files { path: folder.into() }))
            }
            name => self.configured(name, read),
        }
    }

    /// The same as words of a command line.
    pub(super) fn words(&self) -> Vec<OsString> {
        let text = |text: &Option<String>| text.as_ref().map(OsString::from);
        let path = |path: &Option<PathBuf>| path.as_ref().map(OsString::from);
        let options = [
            ("--store", text(&self.store)),
            ("--config", path(&self.config)),
            ("--node", text(&self.node)),
            ("--endpoint", text(&self.endpoint)),
            ("--region", text(&self.region)),
            ("--credentials", path(&self.credentials)),
            ("--ca", path(&self.ca)),
            ("--cluster", text(&self.cluster)),
        ];
        options.into_iter().filter_map(|(name, value)| Some([name.into(), value?])).flatten().collect()
    }

    fn bucket(&self, url: &str) -> Result<StoreSpec, String> {
        let rest = url.strip_prefix(BUCKET).unwrap_or_default().trim_end_matches('/');
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let needs = |what: &str| format!("{url} needs {what}");
        let place = StorePlace::S3 {
            endpoint: self.endpoint.clone().ok_or_else(|| needs("--endpoint https://HOST"))?,
            bucket: bucket.to_owned(),
            region: self.region.clone().unwrap_or_else(|| REGION.to_owned()),
            prefix: prefix.to_owned(),
            credentials_file: self.credentials.clone().ok_or_else(|| needs("--credentials FILE"))?,
            ca: self.ca.clone(),
        };
        Ok(spec(bucket, place))
    }

    fn configured(
        &self,
        name: Option<&str>,
        read: impl FnOnce(&Path) -> Result<String, String>,
    ) -> Result<StoreSpec, String> {
        let path = self.config.clone().unwrap_or_else(|| CONFIG.into());
        let text = read(&path).map_err(|why| {
            format!("{why}; name the store itself: --store FOLDER, or --store s3://BUCKET with --endpoint and --credentials")
        })?;
        let file: File = toml::from_str(&text).map_err(|e| format!("{}: {}", path.display(), e.message()))?;
        let names: Vec<_> = file.store.iter().map(|entry| entry.name.clone()).collect();
        let said = format!("{} has {}", path.display(), some(&names));
        let mut fitting = file.store.into_iter().filter(|entry| name.is_none_or(|name| entry.name == name));
        match (fitting.next(), fitting.next(), name) {
            (Some(entry), None, _) => self.entry(entry),
            (Some(_), Some(_), _) => Err(format!("{said}; say which with --store NAME")),
            (None, _, Some(name)) => {
                Err(format!("{said}, and none is named \"{name}\"; a folder has a / in it: ./{name}"))
            }
            (None, _, None) => Err(said),
        }
    }

    fn entry(&self, entry: Entry) -> Result<StoreSpec, String> {
        let name = entry.name.clone();
        let missing = |what: &str| format!("store {name} has no {what} in the configuration");
        let place = match entry.kind {
            Kind::Files => StorePlace::Files { path: self.path(entry.path.ok_or_else(|| missing("path"))?)? },
            Kind::S3 => StorePlace::S3 {
                endpoint: entry.endpoint.ok_or_else(|| missing("endpoint"))?,
                bucket: entry.bucket.ok_or_else(|| missing("bucket"))?,
                region: entry.region.unwrap_or_else(|| REGION.to_owned()),
                prefix: entry.prefix.unwrap_or_default(),
                // The file may lie elsewhere here.
                credentials_file: match &self.credentials {
                    Some(file) => file.clone(),
                    None => self.path(entry.credentials_file.ok_or_else(|| missing("credentials_file"))?)?,
                },
                ca: self.ca.clone().or(entry.ca),
            },
        };
        Ok(spec(&name, place))
    }

    fn path(&self, path: PathBuf) -> Result<PathBuf, String> {
        let text = path.to_string_lossy();
        if !text.contains(NODE) {
            return Ok(path);
        }
        let node = self.node.as_deref();
        let node = node.ok_or_else(|| format!("{text} is a path of each node; say whose with --node"))?;
        Ok(text.replace(NODE, node).into())
    }
}

fn spec(name: &str, place: StorePlace) -> StoreSpec {
    StoreSpec { name: name.to_owned(), required: true, place }
}

fn some(names: &[String]) -> String {
    if names.is_empty() { "no [[store]]".to_owned() } else { format!("the stores {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "[cluster]\nname = \"shop\"\n[[store]]\nname = \"disk\"\ntype = \"files\"\npath = \"/b/{node}\"\n\
        [[store]]\nname = \"b2\"\ntype = \"s3\"\nendpoint = \"https://s3.example.org\"\nbucket = \"shop\"\n\
        credentials_file = \"/etc/baton/b2\"\nrequired = false\n";

    fn args(store: Option<&str>) -> StoreArgs {
        StoreArgs { store: store.map(ToOwned::to_owned), ..StoreArgs::default() }
    }

    fn place(args: &StoreArgs) -> Result<StorePlace, String> {
        args.place(|_| Ok(TEXT.into())).map(|spec| spec.place)
    }

    #[test]
    fn a_folder_and_a_bucket_need_no_configuration() {
        let nothing = |_: &Path| Err("/etc/baton/baton.toml is not there".to_owned());
        let spec = args(Some("/mnt/backups")).place(nothing).unwrap();
        assert_eq!(spec.place, StorePlace::Files { path: "/mnt/backups".into() });
        let mut bucket = args(Some("s3://shop/a/b/"));
        assert!(bucket.place(nothing).unwrap_err().contains("needs --endpoint"));
        bucket.endpoint = Some("https://s3.example.org".into());
        assert!(bucket.place(nothing).unwrap_err().contains("needs --credentials"));
        bucket.credentials = Some("/c".into());
        let words =
            ["--store", "s3://shop/a/b/", "--endpoint", "https://s3.example.org", "--credentials", "/c"];
        assert_eq!(bucket.words(), words);
        let StorePlace::S3 { bucket, prefix, region, .. } = bucket.place(nothing).unwrap().place else {
            panic!("no bucket")
        };
        assert_eq!((bucket.as_str(), prefix.as_str(), region.as_str()), ("shop", "a/b", REGION));
        assert!(args(None).place(nothing).unwrap_err().contains("name the store itself"));
    }

    #[test]
    fn a_name_is_looked_up() {
        assert!(place(&args(None)).unwrap_err().contains("the stores disk, b2; say which"));
        assert!(place(&args(Some("tape"))).unwrap_err().contains("none is named \"tape\""));
        let error = place(&args(Some("disk"))).unwrap_err();
        assert_eq!(error, "/b/{node} is a path of each node; say whose with --node");
        let of = StoreArgs { node: Some("db2".into()), ..args(Some("disk")) };
        assert_eq!(place(&of), Ok(StorePlace::Files { path: "/b/db2".into() }));
        let elsewhere = StoreArgs { credentials: Some("/root/keys".into()), ..args(Some("b2")) };
        let Ok(StorePlace::S3 { credentials_file, .. }) = place(&elsewhere) else { panic!("no bucket") };
        assert_eq!(credentials_file, PathBuf::from("/root/keys"));
    }
}
