//! Arguments in, exit code out.

/// Binding a plan makes and drops many small pieces, for which the system's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pipe::cli::main()
}
