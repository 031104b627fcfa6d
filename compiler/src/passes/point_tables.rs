//! Texts of points that are only known when they fire become look-ups in a table of all points'
//! texts. Single points' texts are constants by now.

use bstr::BString;
use rustc_hash::FxHashMap;

use crate::lir::{Module, Op, PointText, TableId};

/// Makes the tables that are needed.
pub(super) fn run(module: &mut Module) {
    let mut tables: FxHashMap<PointText, TableId> = FxHashMap::default();
    for function in module.functions.keys() {
        for block in module.functions[function].blocks.keys() {
            for i in 0..module.functions[function].blocks[block].insts.len() {
                let op = &module.functions[function].blocks[block].insts[i].op;
                let Op::PointText(which, number) = *op else {
                    continue;
                };
                let table = *tables
                    .entry(which)
                    .or_insert_with(|| module.tables.push(texts(module, which)));
                let inst = &mut module.functions[function].blocks[block].insts[i];
                inst.op = Op::StrTable(table, number);
            }
        }
    }
}

/// The texts by the points' program-wide numbers.
fn texts(module: &Module, which: PointText) -> Vec<BString> {
    let points = module.handlers.values().flat_map(|handler| &handler.points);
    let texts = points.map(|point| match which {
        PointText::Full => &point.text,
        PointText::Function => &point.function,
        PointText::Module => &point.module,
    });
    texts.map(|text| BString::from(text.as_str())).collect()
}
