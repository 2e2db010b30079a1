//! Style sheets inside a page, as far as they hide elements.
//!
//! Rules whose selectors are tags, classes and ids of one element are applied. Rules with combinators, pseudo-classes or
//! attributes, and rules for particular media, are not: to take one for the other would drop what is visible.

use std::collections::HashMap;

use super::style::{Style, plain_css, split_outside};

/// The rules of a page's `<style>` elements.
#[derive(Default)]
pub(super) struct Sheet {
    by_id: HashMap<String, Vec<Rule>>,
    by_class: HashMap<String, Vec<Rule>>,
    by_tag: HashMap<String, Vec<Rule>>,
    rules: usize,
    colours_backgrounds: bool,
}

struct Rule {
    order: usize,
    tag: Option<String>,
    id: Option<String>,
    classes: Vec<String>,
    style: Style,
}

/// Rules kept at the most; further ones are not applied.
const MAX_RULES: usize = 20_000;

/// Rules that are tried on one element at the most.
const MAX_TRIED: usize = 64;

impl Sheet {
    /// Adds the text of a `<style>` element.
    pub(super) fn add(&mut self, css: &str) {
        let css = plain_css(css);
        self.colours_backgrounds |= css.contains("background");
        let mut rest = css.as_str();
        while let Some(open) = rest.find('{') {
            let prelude = rest[..open].rsplit(['}', ';']).next().unwrap_or("").trim();
            rest = &rest[open + 1..];
            if let Some(at_rule) = prelude.strip_prefix('@') {
                let applies = ["media all", "media screen", "layer", "supports"];
                if !applies.iter().any(|name| at_rule.trim_end() == *name || at_rule.starts_with("layer ")) {
                    rest = after_block(rest);
                }
                continue;
            }
            let close = rest.find('}').unwrap_or(rest.len());
            let style = Style::parse(&rest[..close]);
            rest = &rest[close..];
            if style != Style::default() {
                for selector in split_outside(prelude, ',') {
                    self.add_rule(selector.trim(), &style);
                }
            }
        }
    }

    fn add_rule(&mut self, selector: &str, style: &Style) {
        if self.rules >= MAX_RULES {
            return;
        }
        let Some(rule) = Rule::parse(selector, self.rules, style) else { return };
        let (rules, key) = match (&rule.id, rule.classes.first(), &rule.tag) {
            (Some(id), _, _) => (&mut self.by_id, id.clone()),
            (None, Some(class), _) => (&mut self.by_class, class.clone()),
            (None, None, Some(tag)) => (&mut self.by_tag, tag.clone()),
            (None, None, None) => return,
        };
        rules.entry(key).or_default().push(rule);
        self.rules += 1;
    }

    /// Whether a rule may colour what is behind text.
    pub(super) fn colours_backgrounds(&self) -> bool {
        self.colours_backgrounds
    }

    /// Whether there are no rules.
    pub(super) fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// What the rules say about an element.
    pub(super) fn style_of(&self, tag: &str, id: Option<&str>, classes: &str) -> Style {
        let lower = |text: &str| text.to_ascii_lowercase();
        let (id, classes) = (id.map(lower), lower(classes));
        let classes: Vec<&str> = classes.split_ascii_whitespace().take(MAX_TRIED).collect();
        let mut found: Vec<&Rule> = Vec::new();
        found.extend(id.as_ref().and_then(|id| self.by_id.get(id)).into_iter().flatten().rev().take(MAX_TRIED));
        for class in &classes {
            found.extend(self.by_class.get(*class).into_iter().flatten().rev().take(MAX_TRIED));
        }
        found.extend(self.by_tag.get(tag).into_iter().flatten().rev().take(MAX_TRIED));
        found.retain(|rule| {
            rule.tag.as_deref().is_none_or(|wanted| wanted == tag)
                && rule.id.as_ref().is_none_or(|wanted| Some(wanted) == id.as_ref())
                && rule.classes.iter().all(|wanted| classes.contains(&wanted.as_str()))
        });
        found.sort_by_key(|rule| std::cmp::Reverse(rule.weight()));
        found.into_iter().fold(Style::default(), |sum, rule| sum.or(&rule.style))
    }
}

impl Rule {
    /// Reads a selector of one element; none if it is anything else.
    fn parse(selector: &str, order: usize, style: &Style) -> Option<Self> {
        let is_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let mut rule = Self { order, tag: None, id: None, classes: Vec::new(), style: style.clone() };
        let mut rest = selector.strip_prefix('*').unwrap_or(selector);
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if end > 0 {
            rule.tag = Some(rest[..end].to_owned());
        }
        rest = &rest[end..];
        while let Some(mark) = rest.chars().next() {
            rest = rest.strip_prefix(['.', '#'])?;
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let name = (end > 0).then(|| rest[..end].to_owned())?;
            match mark {
                '.' => rule.classes.push(name),
                _ => rule.id = Some(name),
            }
            rest = &rest[end..];
        }
        Some(rule)
    }

    /// Which of two rules wins: specificity, then order.
    fn weight(&self) -> (usize, usize, usize, usize) {
        (usize::from(self.id.is_some()), self.classes.len(), usize::from(self.tag.is_some()), self.order)
    }
}

/// What follows the block whose content begins here.
fn after_block(css: &str) -> &str {
    let mut depth = 1_usize;
    for (at, byte) in css.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &css[at + 1..];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(css: &str, tag: &str, id: Option<&str>, classes: &str) -> bool {
        let mut sheet = Sheet::default();
        sheet.add(css);
        sheet.style_of(tag, id, classes).hides_all()
    }

    #[test]
    fn rules_of_one_element_apply_by_their_weight() {
        assert!(hides(".x { display: none }", "p", None, "a x"));
        assert!(hides("p, .y{display:none}", "p", None, ""));
        assert!(hides("p.x#z{display:none}", "p", Some("z"), "x"));
        assert!(hides("/* c */ @charset 'utf-8'; .X{color:red} .x{display:none}", "p", None, "X"));
        assert!(hides("@media screen { .x{display:none} }", "p", None, "x"));
        assert!(!hides("p.x#z{display:none}", "p", Some("z"), "y"));
        assert!(!hides("div.x{display:none}", "p", None, "x"));
        assert!(!hides(".x{display:none} .x{display:block}", "p", None, "x"));
        assert!(!hides(".x{display:none} #z{display:block}", "p", Some("z"), "x"));
        assert!(hides("#z{display:none} .x{display:block}", "p", Some("z"), "x"));
    }

    #[test]
    fn rules_that_may_not_apply_do_not() {
        assert!(!hides("@media print { .x{display:none} }", "p", None, "x"));
        assert!(!hides(".menu .x{display:none}", "p", None, "x"));
        assert!(!hides(".x:hover{display:none}", "p", None, "x"));
        assert!(!hides(".x[data-a]{display:none}", "p", None, "x"));
        assert!(!hides(".é > p{display:none", "p", None, "x"));
        assert!(hides("@media print { .x{display:block} } .x{display:none}", "p", None, "x"));
    }
}
