//! `proto/` → `OUT_DIR`, without protoc: messages, client and server stubs, and the descriptor set for reflection.

use std::{env, error::Error, fs, path::PathBuf};

const ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);

    let mut files = Vec::new();
    for entry in fs::read_dir(PathBuf::from(ROOT).join("vectrion/v1"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();

    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    // `compile_fds` does not write the descriptor set, and re-encoding the parsed one would drop custom options.
    fs::write(out.join("vectrion.v1.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .client_mod_attribute("vectrion.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("vectrion.v1", "#[cfg(feature = \"server\")]")
        .bytes(".vectrion.v1")
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
