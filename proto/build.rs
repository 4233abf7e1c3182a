//! Compiles the contract without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["peer.proto", "control.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .type_attribute(".baton.control.v1", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".baton.control.v1", "#[serde(default)]")
        .compile_fds(files)?;
    Ok(())
}
