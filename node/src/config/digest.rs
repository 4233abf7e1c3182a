//! A short mark for what must be the same in every node's file when a group forms.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::Config;

/// The digest of cluster, nodes and safety seeds: equal for files that may form one group.
///
/// The order of keys and nodes does not count. Not a defence against an attacker, who has the certificates to pass first.
#[must_use]
pub fn digest(config: &Config) -> u64 {
    let nodes: BTreeMap<&str, Value> =
        config.nodes.iter().map(|node| (node.name.as_str(), json!(node))).collect();
    let parts = json!({
        "cluster": config.cluster,
        "nodes": nodes,
        "safety": config.safety_settings(),
    });
    let mut hash = Fnv::new();
    canonical(&parts, &mut hash);
    hash.0
}

/// Feeds JSON with the keys of every object in order, whichever map `serde_json` was built with.
fn canonical(value: &Value, hash: &mut Fnv) {
    match value {
        Value::Object(entries) => {
            let sorted: BTreeMap<_, _> = entries.iter().collect();
            hash.add("{");
            for (key, item) in sorted {
                hash.add(&json!(key).to_string());
                hash.add(":");
                canonical(item, hash);
                hash.add(",");
            }
            hash.add("}");
        }
        Value::Array(items) => {
            hash.add("[");
            for item in items {
                canonical(item, hash);
                hash.add(",");
            }
            hash.add("]");
        }
        plain => hash.add(&plain.to_string()),
    }
}

/// FNV-1a with 64 bits: the same on every build and machine, which the standard library's hasher does not promise.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
