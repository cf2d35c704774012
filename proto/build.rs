//! Compiles the messages, without a protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=prometheus/remote.proto");
    let files = protox::compile(["prometheus/remote.proto"], ["."])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
