//! Makes the parser from `syntax/systemtap.lalrpop`, outside `src` as generated code has no place there.

fn main() {
    let out_dir = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    let made = lalrpop::Configuration::new()
        .set_in_dir("syntax")
        .set_out_dir(out_dir)
        .emit_rerun_directives(true)
        .process();
    if let Err(error) = made {
        panic!("syntax/systemtap.lalrpop: {error}");
    }
}
