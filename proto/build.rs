//! Compiles the messages and services, without a protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["prometheus/remote.proto", "thanos/store.proto", "thanos/hints.proto", "thanos/info.proto"];
    for file in files.into_iter().chain(["thanos/types.proto"]) {
        println!("cargo:rerun-if-changed={file}");
    }
    let files = protox::compile(files, ["."])?;
    // Chunks stay slices of the frame that they came in.
    let config = tonic_prost_build::Config::new();
    tonic_prost_build::configure().bytes(".thanos.Chunk.data").compile_fds_with_config(files, config)?;
    Ok(())
}
