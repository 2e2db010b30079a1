//! The stack of open elements.

use std::collections::HashMap;

use html5ever::{LocalName, local_name};

use super::{
    elements::{heading_level, is_barrier, is_formatting, is_special},
    style::Inherited,
};

/// An open element and what it changed.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// Its name.
    pub(super) name: LocalName,
    /// How text directly inside is seen.
    pub(super) own: OwnEffect,
    /// What text inside inherits from this element and those around it.
    sum: Inherited,
}

impl Open {
    pub(super) fn new(name: LocalName, own: OwnEffect) -> Self {
        Self { name, own, sum: Inherited::default() }
    }
}

/// What an element says about the text inside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct OwnEffect {
    /// Nothing inside is shown.
    pub(super) hidden: bool,
    /// What is inside is no text of the document.
    pub(super) noise: bool,
    /// Properties that what is inside inherits, where the element sets them.
    pub(super) inherited: Inherited,
}

/// The open elements, outermost first, with what they add up to.
#[derive(Default)]
pub(super) struct Stack {
    open: Vec<Open>,
    of_name: HashMap<LocalName, usize>,
    hidden: usize,
    noise: usize,
    headings: usize,
    too_deep: bool,
}

/// Elements open at once at the most.
const MAX_DEPTH: usize = 1 << 20;

/// Different formatting elements that are opened again at once at the most.
const MAX_REOPENED: usize = 4096;

impl Stack {
    /// Whether more elements were open than any honest page has.
    pub(super) fn is_too_deep(&self) -> bool {
        self.too_deep
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.hidden > 0
    }

    pub(super) fn is_noise(&self) -> bool {
        self.noise > 0
    }

    pub(super) fn has(&self, name: &LocalName) -> bool {
        self.of_name.get(name).is_some_and(|count| *count > 0)
    }

    /// Name of the innermost element.
    pub(super) fn innermost(&self) -> Option<&LocalName> {
        self.open.last().map(|open| &open.name)
    }

    /// Level of the innermost heading.
    pub(super) fn innermost_heading(&self) -> Option<u8> {
        if self.headings == 0 {
            return None;
        }
        self.open.iter().rev().find_map(|open| heading_level(&open.name))
    }

    /// What text inherits here.
    pub(super) fn inherited(&self) -> Inherited {
        self.open.last().map(|open| open.sum.clone()).unwrap_or_default()
    }

    pub(super) fn push(&mut self, mut open: Open) {
        if self.open.len() >= MAX_DEPTH {
            self.too_deep = true;
            return;
        }
        *self.of_name.entry(open.name.clone()).or_default() += 1;
        self.hidden += usize::from(open.own.hidden);
        self.noise += usize::from(open.own.noise);
        self.headings += usize::from(heading_level(&open.name).is_some());
        open.sum = open.own.inherited.clone().or(&self.inherited());
        self.open.push(open);
    }

    fn forget(&mut self, open: &Open) {
        if let Some(count) = self.of_name.get_mut(&open.name) {
            *count -= 1;
        }
        self.hidden -= usize::from(open.own.hidden);
        self.noise -= usize::from(open.own.noise);
        self.headings -= usize::from(heading_level(&open.name).is_some());
    }

    /// Where the innermost element that `wanted` accepts is, unless an element that `stop` accepts is inside it.
    fn find(&self, wanted: impl Fn(&LocalName) -> bool, stop: impl Fn(&LocalName) -> bool) -> Option<usize> {
        for (at, open) in self.open.iter().enumerate().rev() {
            if wanted(&open.name) {
                return Some(at);
            }
            if stop(&open.name) {
                return None;
            }
        }
        None
    }

    /// Closes the innermost element that `wanted` accepts with all inside it, unless `stop` accepts one before.
    /// Formatting that was still open goes on behind it, except behind a barrier such as a cell. Gives the names of the
    /// closed elements, innermost first.
    pub(super) fn close_in(
        &mut self,
        wanted: impl Fn(&LocalName) -> bool,
        stop: impl Fn(&LocalName) -> bool,
    ) -> Vec<LocalName> {
        match self.find(wanted, stop) {
            Some(at) => self.truncate(at),
            None => Vec::new(),
        }
    }

    fn truncate(&mut self, at: usize) -> Vec<LocalName> {
        let closed = self.open.split_off(at);
        for open in &closed {
            self.forget(open);
        }
        if !closed.first().is_some_and(|open| is_barrier(&open.name)) {
            // Formatting inside a cell of the closed element ended with the cell.
            let from = closed.iter().rposition(|open| is_barrier(&open.name)).map_or(1, |barrier| barrier + 1);
            self.reopen(&closed[from.min(closed.len())..]);
        }
        closed.into_iter().rev().map(|open| open.name).collect()
    }

    /// Opens formatting again; of several that are the same, three (the standard's "Noah's Ark clause").
    fn reopen(&mut self, closed: &[Open]) {
        let mut alike: HashMap<(&LocalName, &OwnEffect), u8> = HashMap::new();
        let mut again = Vec::new();
        for open in closed.iter().rev().filter(|open| is_formatting(&open.name)) {
            let count = alike.entry((&open.name, &open.own)).or_default();
            if *count < 3 {
                *count += 1;
                again.push(open);
            }
        }
        self.too_deep |= again.len() > MAX_REOPENED;
        for open in again.into_iter().rev() {
            self.push(open.clone());
        }
    }

    /// An end tag of a formatting element: that element ends, what is inside it goes on.
    pub(super) fn close_formatting(&mut self, name: &LocalName) {
        if !self.has(name) {
            return;
        }
        if let Some(at) = self.find(|open| open == name, is_barrier) {
            let open = self.open.remove(at);
            self.forget(&open);
            if open.own.inherited != Inherited::default() {
                for inside in at..self.open.len() {
                    let around = inside.checked_sub(1).map(|at| self.open[at].sum.clone()).unwrap_or_default();
                    self.open[inside].sum = self.open[inside].own.inherited.clone().or(&around);
                }
            }
        }
    }

    /// An end tag without a rule of its own.
    pub(super) fn close_other(&mut self, name: &LocalName) -> Vec<LocalName> {
        if !self.has(name) {
            return Vec::new();
        }
        self.close_in(|open| open == name, is_special)
    }

    /// An end tag of a block.
    pub(super) fn close_block(&mut self, name: &LocalName) -> Vec<LocalName> {
        if heading_level(name).is_some() {
            return self.close_in(|open| heading_level(open).is_some(), is_barrier);
        }
        if !self.has(name) {
            return Vec::new();
        }
        let is_list = |open: &LocalName| matches!(*open, local_name!("ol") | local_name!("ul"));
        let in_item = *name == local_name!("li");
        self.close_in(|open| open == name, |open| is_barrier(open) || (in_item && is_list(open)))
    }

    /// Ends an open paragraph, because a block begins.
    pub(super) fn close_paragraph(&mut self) -> Vec<LocalName> {
        if !self.has(&local_name!("p")) {
            return Vec::new();
        }
        self.close_in(|open| *open == local_name!("p"), |open| is_barrier(open) || *open == local_name!("button"))
    }

    /// Ends a heading that is the innermost element, because another begins.
    pub(super) fn close_current_heading(&mut self) -> Vec<LocalName> {
        match self.innermost().and_then(heading_level) {
            Some(_) => self.truncate(self.open.len() - 1),
            None => Vec::new(),
        }
    }

    /// Ends the item of a list or of definitions that the next one follows.
    pub(super) fn close_item(&mut self, same: impl Fn(&LocalName) -> bool) -> Vec<LocalName> {
        let passes = |open: &LocalName| {
            matches!(*open, local_name!("address") | local_name!("div") | local_name!("p")) || !is_special(open)
        };
        self.close_in(same, |open| !passes(open))
    }

    /// Ends what is open in the innermost table, out to an element that `wanted` accepts and including it.
    pub(super) fn close_in_table(&mut self, wanted: impl Fn(&LocalName) -> bool) -> Vec<LocalName> {
        self.close_in(wanted, |open| matches!(*open, local_name!("table") | local_name!("template")))
    }

    /// Ends an `<svg>` or `<math>` with all inside it.
    pub(super) fn close_foreign(&mut self) -> Vec<LocalName> {
        self.close_in(|open| matches!(*open, local_name!("svg") | local_name!("math")), |_| false)
    }

    /// Whether an `<svg>` or `<math>` is open.
    pub(super) fn in_foreign(&self) -> bool {
        self.has(&local_name!("svg")) || self.has(&local_name!("math"))
    }
}
