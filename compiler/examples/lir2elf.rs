//! LIR text to an image: `lir2elf IN.lir OUT.o [5.10]`; prints the disassembly. For trying the
//! back end by hand (`bpftool prog loadall OUT.o …`).

use rtap_compiler::bpf;
use rtap_compiler::target::Features;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&args[1]).expect("a readable file");
    let mut module = rtap_compiler::lir::text::parse(&text).expect("LIR text");
    let features = match args.get(3) {
        Some(release) => {
            let (major, minor) = release.split_once('.').expect("MAJOR.MINOR");
            Features::of_release((
                major.parse().expect("number"),
                minor.parse().expect("number"),
            ))
        }
        None => Features::all(),
    };
    let files = [("test.stp".to_owned(), text)];
    match bpf::generate(&mut module, features, bpf::Settings::default()) {
        Ok(object) => println!("{}", object.disassemble()),
        Err(errors) => {
            for error in errors {
                println!("{error} (help: {})", error.remedy());
            }
            return;
        }
    }
    let (elf, _) = bpf::compile(module, features, ("", 0), &files).expect("generated once already");
    std::fs::write(&args[2], elf).expect("a writable file");
}
