//! The `batonctl` command.

fn main() -> std::process::ExitCode {
    batonctl::run(std::env::args_os()).into()
}
