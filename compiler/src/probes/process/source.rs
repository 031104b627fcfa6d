//! Places in a program that are named by source file and line, out of its debug information.

use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::source::{Place, Source, Wanted};
use super::super::{Request, debug_info};
use super::function::Point;
use crate::dwarf::DebugInfo;
use crate::target::{Binary, BinaryFunction};

/// The debug information of a program, or why a place in its source cannot be found.
pub(super) fn read(
    request: &Request<'_>,
    binary: &Binary,
) -> Result<Arc<DebugInfo>, Box<Diagnostic>> {
    request.session.target.debug_info(binary).map_err(|why| {
        let other = "name a function, or an instruction by its address, .statement(ADDRESS)";
        Box::new(debug_info::no_source(
            "a program's",
            "this probe point",
            &why,
            other,
            request.span,
        ))
    })
}

/// The functions or statements of a file.
pub(super) fn find(
    request: &Request<'_>,
    binary: &Binary,
    info: &DebugInfo,
    place: &Place<'_>,
    wanted: Wanted,
) -> Result<Vec<Point>, Box<Diagnostic>> {
    let source = Source {
        whose: format!("'{}'", binary.path),
        missing: codes::NO_SYMBOL,
        info,
        code: binary,
    };
    let found = source.find(request, place, wanted)?;
    let points = found.into_iter().filter_map(|place| {
        let offset = binary.file_offset(place.address)?;
        let symbol = binary.function_at(place.address);
        let symbol = symbol.filter(|symbol| symbol.address == place.address);
        let function = BinaryFunction {
            name: place.function.as_str().into(),
            address: place.address,
            size: symbol.map_or(0, |symbol| symbol.size),
            offset,
            exported: symbol.is_some_and(|symbol| symbol.exported),
            is_ifunc: symbol.is_some_and(|symbol| symbol.is_ifunc),
        };
        Some(Point {
            function,
            shown: place.shown(),
        })
    });
    Ok(points.collect())
}
