//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    pipe::cli::main()
}
