//! Large scripts, for measuring the compiler: every statement is of a usual kind, and none is like
//! another.

use std::fmt::Write as _;

/// A script of one handler with `statements` statements that call twenty small functions.
pub fn large(statements: usize, point: &str) -> String {
    let mut out = String::from("global g, a, s, c, names\n");
    for n in 0..20 {
        let _ = writeln!(
            out,
            "function fn{n}:long(x:long, y:long) {{ if (x > {n}) return x * y + {n}; return y - x }}"
        );
    }
    let _ = writeln!(out, "probe {point} {{");
    for n in 0..statements {
        let _ = match n % 6 {
            0 => writeln!(out, "  g += fn{}(g, {n})", n % 20),
            1 => writeln!(out, "  a[{n}] = g + {n}"),
            2 => writeln!(out, "  s <<< {n} + g"),
            3 => writeln!(out, "  if (g == {n}) c[\"k{n}\"]++"),
            4 => writeln!(out, "  printf(\"%d %s\\n\", g, execname())"),
            _ => writeln!(out, "  names[pid()] = sprintf(\"%d\", g + {n})"),
        };
    }
    out.push_str("}\nprobe end { println(@count(s)) foreach (n in names) println(names[n]) }\n");
    out
}
