//! Arguments in, exit code out.

/// Binding a plan makes and drops many small pieces, for which the system's allocator is slow; this one also gives back what
/// transforms held.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    pipe::cli::main()
}
