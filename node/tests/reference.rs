//! The documentation that is made from code is what the code says.

use std::path::Path;

use baton_node::config::render_reference;

/// `docs/configuration.md` is `render_reference()`, letter by letter.
#[test]
fn the_configuration_reference_is_up_to_date() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let reference = render_reference();
    if std::env::var_os("BATON_RENEW_DOCS").is_some() {
        return std::fs::write(&path, reference);
    }
    assert!(
        std::fs::read_to_string(&path)? == reference,
        "docs/configuration.md is not what the keys say; \
         renew it: BATON_RENEW_DOCS=1 cargo test -p baton-node --test reference"
    );
    Ok(())
}
