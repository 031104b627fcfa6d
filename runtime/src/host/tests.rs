//! Tests on the machine at hand. What needs rights or a kernel feature that is missing
//! says so and counts as nothing.

use super::*;

#[test]
fn every_look_up_answers() {
    let target = LiveTarget::new();
    assert!(target.cpus().online > 0);
    assert!(target.syscalls().by_name("read").is_some());
    assert!(target.module_btf("no_such_module").is_err());
    assert!(target.tracepoint_format("../..", "etc").is_err());
    assert!(target.tracepoint_format("", "").is_err());
    if let Ok(btf) = target.btf() {
        let signature = btf.tracepoint("sched_switch").unwrap().unwrap();
        assert!(signature.params.iter().any(|param| param.name == "prev"));
        assert!(btf.find_c_type("struct task_struct").is_some());
        let vars = btf
            .find_var("runqueues")
            .map(|(var, _)| btf.is_per_cpu(var));
        assert!(vars != Some(false));
    }
    if let Ok(all) = target.tracepoints() {
        assert!(
            all.iter()
                .any(|(system, name)| (&**system, &**name) == ("sched", "sched_switch"))
        );
        let format = target.tracepoint_format("sched", "sched_switch").unwrap();
        assert!(format.field("prev_comm").unwrap().is_string());
        assert!(matches!(
            target.tracepoint_format("sched", "nope"),
            Err(Unavailable::NoTracepoint { .. })
        ));
    }
    if let Ok(symbols) = target.symbols() {
        assert!(symbols.iter().len() > 1000);
    }
    assert!(target.binary("sh").is_ok());
}

#[test]
fn features_do_not_change_and_follow_the_release() {
    let target = LiveTarget::new();
    let features = target.features();
    assert_eq!(features, target.features());
    assert_eq!(features, LiveTarget::new().features());
    if Rights::of_self().missing_for_tracing().is_empty() {
        let (major, minor) = target.kernel().minor();
        let all = rtap_compiler::target::Features::of_release((major, minor));
        for feature in all.iter().filter(|feature| feature.info().helper.is_some()) {
            // Helpers of a release can be switched off; print what is.
            if !features.has(feature) {
                eprintln!("{} {feature}: not on this kernel", target.kernel());
            }
        }
        for feature in features.iter().filter(|&feature| !all.has(feature)) {
            eprintln!("{} {feature}: ahead of its release", target.kernel());
        }
    }
}
