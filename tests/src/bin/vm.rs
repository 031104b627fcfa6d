//! Tries things on a kernel of the matrix: `vm --kernel 6.1 -- 'shell command'`.
//!
//! Boots the kernel, runs the command with `rtap` and `workload` in the path, prints its
//! output and ends with its exit status. See `docs/kernels.md`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use rtap_tests::job::{End, Job, Stream};
use rtap_tests::paths;
use rtap_tests::vm::{Image, MATRIX, Vm, agent, debug_info, kernels, modules, qemu};

/// Boots a kernel of the test matrix and runs a command in it.
#[derive(Debug, Parser)]
struct Options {
    /// The kernels, separated by commas, or `all`.
    #[arg(short, long, default_value = "6.12")]
    kernel: String,
    /// Adds a file or directory, under its own absolute path or as HOST:GUEST.
    #[arg(short, long, value_name = "PATH[:GUEST]")]
    add: Vec<String>,
    /// Seconds after which the command is killed.
    #[arg(short, long, default_value_t = 60)]
    timeout: u64,
    /// Adds a module of the kernel, from Debian's package of it, and loads it.
    #[arg(short, long, value_name = "NAME")]
    module: Vec<String>,
    /// Adds the debug information of the kernel and of the modules that are named, from Debian's package of it.
    #[arg(long)]
    debug_info: bool,
    /// Opens a shell on this terminal instead (Ctrl-a x ends the VM).
    #[arg(long)]
    shell: bool,
    /// Downloads the kernels anew if Debian has newer ones.
    #[arg(long)]
    refresh: bool,
    /// Prints what the kernel can do, and how long it took to boot.
    #[arg(long)]
    facts: bool,
    /// The command, for the guest's shell.
    #[arg(last = true)]
    command: Vec<String>,
}

fn main() -> Result<ExitCode> {
    agent::run_if_asked();
    let options = Options::parse();
    let base = image(&options)?.finish();
    let versions: Vec<&str> = match options.kernel.as_str() {
        "all" => MATRIX.iter().map(|wanted| wanted.version).collect(),
        some => some.split(',').collect(),
    };
    let mut worst = 0;
    for version in &versions {
        let kernel = kernels::get(version, options.refresh)?;
        if versions.len() > 1 {
            println!("== {version} ({})", kernel.package);
        }
        let mut initramfs = base.clone();
        let names: Vec<&str> = options.module.iter().map(String::as_str).collect();
        if options.debug_info {
            initramfs.extend(debug_info::archive(&kernel, &names)?);
        }
        if !names.is_empty() {
            initramfs.extend(modules::archive(&kernel, &names)?);
        }
        if options.shell {
            qemu::shell(&kernel, &initramfs)?;
            continue;
        }
        let mut vm = Vm::boot(&kernel, &initramfs)?;
        for failure in &vm.failed_boots {
            eprintln!("vm: a boot failed: {failure}");
        }
        if options.facts {
            println!("release {}", vm.facts.release);
            println!(
                "boot {:.1} s ({:.1} s in the guest)",
                vm.boot_time.as_secs_f64(),
                vm.facts.uptime_s
            );
            println!(
                "features {}",
                vm.facts
                    .features
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" ")
            );
        }
        if !options.command.is_empty() {
            let status = run(&mut vm, &options)?;
            worst = worst.max(status);
        }
    }
    Ok(ExitCode::from(worst))
}

fn image(options: &Options) -> Result<Image> {
    let mut image = Image::base(paths::rtap().as_deref())?;
    for added in &options.add {
        let (host, guest) = added.split_once(':').unwrap_or((added, ""));
        let host = PathBuf::from(host)
            .canonicalize()
            .with_context(|| format!("cannot add {added}"))?;
        let guest = if guest.is_empty() {
            host.to_string_lossy().into_owned()
        } else {
            guest.to_owned()
        };
        image.add(&host, &guest)?;
    }
    Ok(image)
}

fn run(vm: &mut Vm, options: &Options) -> Result<u8> {
    let loading = options
        .module
        .iter()
        .map(|name| format!("modprobe {name} && "));
    let command = loading.collect::<String>() + &options.command.join(" ");
    let job = Job {
        argv: vec!["sh".into(), "-c".into(), command],
        timeout_ms: options.timeout * 1000,
        live: true,
        ..Job::default()
    };
    let mut printed = Ok(());
    let outcome = vm.run(&job, &mut |stream, bytes| {
        let result = match stream {
            Stream::Out => std::io::stdout().write_all(bytes),
            Stream::Err => std::io::stderr().write_all(bytes),
        };
        printed = std::mem::replace(&mut printed, Ok(())).and(result);
    });
    printed?;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err((failure, console)) => {
            eprintln!("vm: {failure}\n{console}");
            return Ok(125);
        }
    };
    if let Some(complaint) = outcome.kernel_complaint {
        eprintln!("vm: the kernel complained:\n{complaint}");
    }
    Ok(match outcome.end {
        End::Exited(status) => status as u8,
        End::Signalled(signal) => 128 + signal as u8,
        End::TimedOut | End::NotStarted(_) => {
            eprintln!("vm: {}", outcome.end);
            124
        }
    })
}
