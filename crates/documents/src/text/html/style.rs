//! Styles that hide text: what CSS in a page says about whether a reader sees an element.
//!
//! Only what can be told from the page itself is judged: external style sheets are never fetched.

mod color;

pub(super) use color::Color;

/// Properties that children inherit, or that show through behind them; `None` where an element does not set them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Inherited {
    /// `visibility` is `hidden` or `collapse`.
    invisible: Option<bool>,
    /// `font-size` is next to nothing.
    tiny: Option<bool>,
    /// Colour of the text.
    pub(super) color: Option<Color>,
    /// Colour behind the text.
    pub(super) background: Option<Color>,
}

impl Inherited {
    /// These, and what they leave open from `outer`.
    pub(super) fn or(self, outer: &Self) -> Self {
        Self {
            invisible: self.invisible.or(outer.invisible),
            tiny: self.tiny.or(outer.tiny),
            color: self.color.or(outer.color),
            background: self.background.or(outer.background),
        }
    }

    /// The colours alone.
    pub(super) fn colors(self) -> Self {
        Self { invisible: None, tiny: None, ..self }
    }

    /// Whether text with these properties cannot be seen, on a page of this colour.
    pub(super) fn hides(&self, page: Color) -> bool {
        self.invisible == Some(true)
            || self.tiny == Some(true)
            || self.color.is_some_and(|color| color.vanishes_on(self.background.unwrap_or(page)))
    }
}

/// What declarations say about an element, as far as it bears on seeing it; `None` where they say nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Style {
    not_displayed: Option<bool>,
    opaque: Option<bool>,
    positioned: Option<bool>,
    far_off: Option<bool>,
    indented_off: Option<bool>,
    no_size: Option<bool>,
    clips: Option<bool>,
    clipped: Option<bool>,
    scaled_to_nothing: Option<bool>,
    pub(super) inherited: Inherited,
}

impl Style {
    /// Reads declarations as in a `style` attribute.
    pub(super) fn parse(declarations: &str) -> Self {
        let mut style = Self::default();
        let text = plain_css(declarations);
        for declaration in split_outside(&text, ';') {
            if let Some((name, value)) = declaration.split_once(':') {
                let value = value.trim().trim_end_matches("!important").trim_end();
                style.declare(name.trim(), value);
            }
        }
        style
    }

    /// These declarations, and what they leave open from weaker ones.
    pub(super) fn or(self, weaker: &Self) -> Self {
        Self {
            not_displayed: self.not_displayed.or(weaker.not_displayed),
            opaque: self.opaque.or(weaker.opaque),
            positioned: self.positioned.or(weaker.positioned),
            far_off: self.far_off.or(weaker.far_off),
            indented_off: self.indented_off.or(weaker.indented_off),
            no_size: self.no_size.or(weaker.no_size),
            clips: self.clips.or(weaker.clips),
            clipped: self.clipped.or(weaker.clipped),
            scaled_to_nothing: self.scaled_to_nothing.or(weaker.scaled_to_nothing),
            inherited: self.inherited.or(&weaker.inherited),
        }
    }

    /// Whether `display` is set at all.
    pub(super) fn displays(&self) -> Option<bool> {
        self.not_displayed.map(|not| !not)
    }

    /// Whether nothing inside the element is seen, whatever its children say.
    pub(super) fn hides_all(&self) -> bool {
        let set = |property: Option<bool>| property == Some(true);
        set(self.not_displayed)
            || self.opaque == Some(false)
            || (set(self.positioned) && (set(self.far_off) || set(self.clipped)))
            || set(self.indented_off)
            || (set(self.no_size) && set(self.clips))
            || set(self.scaled_to_nothing)
    }

    fn declare(&mut self, name: &str, value: &str) {
        match name {
            "display" => self.not_displayed = Some(value == "none"),
            "content-visibility" if value == "hidden" => self.not_displayed = Some(true),
            "visibility" => self.inherited.invisible = keyword(value, &["hidden", "collapse"], &["visible"]),
            "opacity" => {
                self.opaque = number(value).map(|(opacity, unit)| opacity > if unit == "%" { 5.0 } else { 0.05 })
            }
            "font-size" => self.inherited.tiny = is_tiny(value).or(self.inherited.tiny),
            "font" => self.inherited.tiny = value.split_whitespace().find_map(is_tiny).or(self.inherited.tiny),
            "position" => self.positioned = Some(matches!(value, "absolute" | "fixed")),
            "left" | "right" | "top" | "bottom" | "inset-inline-start" => {
                self.far_off = Some(self.far_off == Some(true) || is_far(value));
            }
            "text-indent" | "margin-left" | "margin-top" => {
                self.indented_off = Some(self.indented_off == Some(true) || is_far(value));
            }
            "width" | "height" | "max-width" | "max-height" => {
                let nothing = number(value).is_some_and(|(size, unit)| size <= if unit == "px" { 1.0 } else { 0.0 });
                self.no_size = Some(self.no_size == Some(true) || nothing);
            }
            "overflow" | "overflow-x" | "overflow-y" => self.clips = Some(matches!(value, "hidden" | "clip")),
            "clip" => self.clipped = clip_rectangle_is_empty(value).or(self.clipped),
            "clip-path" => {
                let argument = function(value, "inset").or_else(|| function(value, "circle"));
                let (size, unit) = argument.and_then(number).unwrap_or((f32::NAN, ""));
                let nothing = if value.starts_with("circle") { size <= 0.0 } else { unit == "%" && size >= 50.0 };
                // A clip path works on every box, so it is as good as no display.
                if nothing {
                    self.not_displayed = Some(true);
                }
            }
            "transform" => {
                let scale =
                    ["scale", "scalex", "scaley"].iter().find_map(|name| function(value, name)).and_then(number);
                self.scaled_to_nothing = Some(scale.is_some_and(|(factor, _)| factor.abs() < 0.05));
            }
            "color" | "-webkit-text-fill-color" => self.inherited.color = Color::parse(value).or(self.inherited.color),
            "background-color" | "background" => {
                let color = Color::parse_background(value);
                self.inherited.background = color.or(self.inherited.background);
            }
            _ => {}
        }
    }
}

/// Lower case, without comments, escapes resolved.
pub(super) fn plain_css(css: &str) -> String {
    let mut out = String::with_capacity(css.len());
    let mut rest = css;
    while let Some(at) = rest.find(['\\', '/']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
        } else if let Some(escape) = rest.strip_prefix('\\') {
            let digits = escape.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
            if digits == 0 {
                let next = escape.chars().next();
                out.extend(next);
                rest = &escape[next.map_or(0, char::len_utf8)..];
            } else {
                out.extend(u32::from_str_radix(&escape[..digits], 16).ok().and_then(char::from_u32));
                rest = &escape[digits..];
                rest = rest.strip_prefix([' ', '\t', '\n']).unwrap_or(rest);
            }
        } else {
            out.push('/');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out.make_ascii_lowercase();
    out
}

/// The parts between separators that stand outside quotes and brackets.
pub(super) fn split_outside(css: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut quote, mut brackets) = (Vec::new(), 0, None, 0_usize);
    for (at, c) in css.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => brackets += 1,
            (None, ')') => brackets = brackets.saturating_sub(1),
            (None, _) if c == separator && brackets == 0 => {
                parts.push(&css[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&css[from..]);
    parts
}

fn keyword(value: &str, yes: &[&str], no: &[&str]) -> Option<bool> {
    if yes.contains(&value) {
        Some(true)
    } else if no.contains(&value) {
        Some(false)
    } else {
        None
    }
}

/// A number and its unit.
fn number(value: &str) -> Option<(f32, &str)> {
    let value = value.trim();
    let end = value.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(value.len());
    let unit = value[end..].split(|c: char| !(c.is_ascii_alphabetic() || c == '%')).next().unwrap_or("");
    value[..end].parse().ok().map(|number| (number, unit))
}

/// The first argument of a function, up to its end or the next argument.
fn function<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    let arguments = value.split(name).nth(1)?.strip_prefix('(')?;
    arguments.split([')', ',', ' ']).next()
}

/// Under 2 points, or a tenth of the size around it. `None` when the size is relative, and so inherited.
fn is_tiny(value: &str) -> Option<bool> {
    let size = value.split('/').next().unwrap_or(value);
    let (size, unit) = number(size)?;
    match unit {
        "pt" => Some(size < 2.0),
        "px" | "" => Some(size < 2.5),
        "em" | "rem" if size < 0.1 => Some(true),
        "%" if size < 10.0 => Some(true),
        "rem" | "vw" | "vh" | "cm" | "mm" | "in" => Some(size <= 0.0),
        _ => None,
    }
}

/// Further to the left or the top than any screen shows.
fn is_far(value: &str) -> bool {
    match number(value) {
        Some((length, "px" | "pt" | "")) => length <= -500.0,
        Some((length, "em" | "rem")) => length <= -40.0,
        Some((length, "%" | "vw" | "vh")) => length <= -100.0,
        _ => false,
    }
}

fn clip_rectangle_is_empty(value: &str) -> Option<bool> {
    let sides = value.strip_prefix("rect(")?.strip_suffix(')')?;
    let sides: Vec<f32> = sides.split([',', ' ']).filter_map(|side| number(side).map(|(length, _)| length)).collect();
    let [top, right, bottom, left] = sides.as_slice() else { return Some(false) };
    Some(right - left <= 1.0 || bottom - top <= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(css: &str) -> bool {
        let style = Style::parse(css);
        style.hides_all() || style.inherited.hides(Color::WHITE)
    }

    #[test]
    fn what_hides_is_seen() {
        for css in [
            "display:none",
            "DISPLAY : None !important",
            "color: red; display:/* not */none",
            "d\\69 splay:none",
            "visibility:hidden",
            "opacity:0",
            "opacity: 0.01",
            "font-size:0",
            "font-size: 1px",
            "font: 0/0 a",
            "position:absolute; left:-9999px",
            "position:fixed;top:-100vh",
            "text-indent:-9999px",
            "margin-left:-9999px",
            "height:0;overflow:hidden",
            "position:absolute;clip:rect(0,0,0,0)",
            "position:absolute;clip:rect(1px, 1px, 1px, 1px)",
            "clip-path: inset(50%)",
            "transform:scale(0)",
            "color:transparent",
            "color:#ffffff",
            "color:white;background:white",
            "color:rgb(254, 254, 254)",
            "color:rgba(0,0,0,0)",
            "color:#000; background-color: black",
        ] {
            assert!(hidden(css), "{css}");
        }
    }

    #[test]
    fn what_only_styles_is_left_alone() {
        for css in [
            "",
            "display:block",
            "display:none;display:block",
            "opacity:0.5",
            "font-size:8px",
            "font-size:80%",
            "position:absolute;left:10px",
            "position:relative;left:-9999px",
            "text-indent:-2em",
            "height:0",
            "overflow:hidden;height:20px",
            "clip-path:inset(5%)",
            "transform:scale(1.2)",
            "color:#fff;background:#000",
            "color:white;background:url(data:image/png;base64,AAAA)",
            "color:white;background:linear-gradient(red, blue)",
            "color:#ccc",
            "color:var(--text)",
            "content:'display:none'",
        ] {
            assert!(!hidden(css), "{css}");
        }
    }
}
