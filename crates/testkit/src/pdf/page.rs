//! Pages, and what stands on them.

use std::fmt::Write as _;

use super::font::{BoxFonts, Font, win_ansi};

/// A piece of text on a page.
#[derive(Clone, Debug)]
pub struct Text {
    text: String,
    x: f32,
    y: f32,
    size: f32,
    font: Font,
    fill: [f32; 3],
    mode: u8,
    angle: f32,
    scale: f32,
    clip: Option<[f32; 4]>,
    transparent: bool,
}

impl Text {
    /// Black Helvetica of 12 points that starts here.
    #[must_use]
    pub fn at(x: f32, y: f32, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            x,
            y,
            size: 12.0,
            font: Font::Helvetica,
            fill: [0.0; 3],
            mode: 0,
            angle: 0.0,
            scale: 1.0,
            clip: None,
            transparent: false,
        }
    }

    /// Sets the font size.
    #[must_use]
    pub fn size(mut self, size: f32) -> Self {
        self.size = size;
        self
    }

    /// Sets the font.
    #[must_use]
    pub fn font(mut self, font: Font) -> Self {
        self.font = font;
        self
    }

    /// Fills the letters with this colour (red, green, blue from 0 to 1).
    #[must_use]
    pub fn fill(mut self, red: f32, green: f32, blue: f32) -> Self {
        self.fill = [red, green, blue];
        self
    }

    /// Fills the letters with white.
    #[must_use]
    pub fn white(self) -> Self {
        self.fill(1.0, 1.0, 1.0)
    }

    /// Sets the text render mode of PDF: 0 fills, 3 draws nothing, 7 clips.
    #[must_use]
    pub fn mode(mut self, mode: u8) -> Self {
        self.mode = mode;
        self
    }

    /// Turns the text about its start, degrees counter-clockwise.
    #[must_use]
    pub fn angle(mut self, degrees: f32) -> Self {
        self.angle = degrees;
        self
    }

    /// Scales the text matrix: the size shown is `size × scale`.
    #[must_use]
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Shows only what lies in this rectangle (left, top, right, bottom).
    #[must_use]
    pub fn clip(mut self, x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        self.clip = Some([x0, y0, x1, y1]);
        self
    }

    /// Draws with an opacity of zero.
    #[must_use]
    pub fn transparent(mut self) -> Self {
        self.transparent = true;
        self
    }

    /// Width as shown.
    #[must_use]
    pub fn width(&self) -> f32 {
        self.font.width(&self.text) * self.size * self.scale
    }

    fn operators(&self, height: f32, boxes: &BoxFonts) -> String {
        let mut out = String::from("q ");
        if let Some([x0, y0, x1, y1]) = self.clip {
            let _ = write!(out, "{x0} {} {} {} re W n ", height - y1, x1 - x0, y1 - y0);
        }
        if self.transparent {
            out.push_str("/Clear gs ");
        }
        let [red, green, blue] = self.fill;
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let (cos, sin) = (cos * self.scale, sin * self.scale);
        let _ = write!(
            out,
            "BT {red} {green} {blue} rg {red} {green} {blue} RG {} Tr {cos:.6} {sin:.6} {:.6} {cos:.6} {} {} Tm ",
            self.mode,
            -sin,
            self.x,
            height - self.y
        );
        if self.font == Font::Boxes {
            let mut current = None;
            for c in self.text.chars() {
                let (font, code) = boxes.code(c);
                if current != Some(font) {
                    let _ = write!(out, "/{}{font} {} Tf ", self.font.resource(), self.size);
                    current = Some(font);
                }
                let _ = write!(out, "<{code:02X}> Tj ");
            }
        } else {
            let _ = write!(out, "/{} {} Tf <", self.font.resource(), self.size);
            for byte in win_ansi(&self.text) {
                let _ = write!(out, "{byte:02X}");
            }
            out.push_str("> Tj ");
        }
        out.push_str("ET Q\n");
        out
    }
}

/// A grey picture: one byte a pixel, rows from the top, 0 is black.
#[derive(Clone, Debug)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width × height` bytes.
    pub pixels: Vec<u8>,
}

impl Image {
    /// A picture whose pixels the function tells.
    #[must_use]
    pub fn from_fn(width: usize, height: usize, pixel: impl Fn(usize, usize) -> u8) -> Self {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
        Self { width, height, pixels }
    }

    pub(super) fn dictionary(&self) -> String {
        format!(
            "/Type /XObject /Subtype /Image /Width {} /Height {} /ColorSpace /DeviceGray /BitsPerComponent 8",
            self.width, self.height
        )
    }
}

#[derive(Clone, Debug)]
enum Element {
    Text(Text),
    Raw(String),
}

/// A page being written.
#[derive(Clone, Debug)]
pub struct Page {
    width: f32,
    height: f32,
    origin: (f32, f32),
    rotation: u16,
    crop: Option<[f32; 4]>,
    elements: Vec<Element>,
    images: Vec<Image>,
    forms: Vec<Page>,
}

impl Page {
    /// An empty page of this size in points.
    #[must_use]
    pub fn new(width: f32, height: f32) -> Self {
        Self {
            width,
            height,
            origin: (0.0, 0.0),
            rotation: 0,
            crop: None,
            elements: Vec::new(),
            images: Vec::new(),
            forms: Vec::new(),
        }
    }

    /// An empty page of 595 by 842 points.
    #[must_use]
    pub fn a4() -> Self {
        Self::new(595.0, 842.0)
    }

    /// Shows the page turned clockwise by 90, 180 or 270 degrees.
    #[must_use]
    pub fn rotated(mut self, degrees: u16) -> Self {
        self.rotation = degrees;
        self
    }

    /// Shows only this part (left, top, right, bottom, before the rotation).
    #[must_use]
    pub fn cropped(mut self, x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        self.crop = Some([x0, y0, x1, y1]);
        self
    }

    /// Puts the lower left corner of the media box elsewhere than at 0, 0.
    #[must_use]
    pub fn with_origin(mut self, x: f32, y: f32) -> Self {
        self.origin = (x, y);
        self
    }

    /// Adds a piece of text.
    #[must_use]
    pub fn text(mut self, text: Text) -> Self {
        self.elements.push(Element::Text(text));
        self
    }

    /// Adds a line of black Helvetica.
    #[must_use]
    pub fn line(self, x: f32, y: f32, size: f32, text: &str) -> Self {
        self.text(Text::at(x, y, text).size(size))
    }

    /// Adds lines of black Helvetica, broken at spaces to fit the width, 1.25 times the size apart. The first baseline is
    /// at `y`.
    #[must_use]
    pub fn paragraph(self, x: f32, y: f32, width: f32, size: f32, text: &str) -> Self {
        self.paragraph_in(Font::Helvetica, x, y, width, size, text)
    }

    /// [`Page::paragraph`] in another font.
    #[must_use]
    pub fn paragraph_in(mut self, font: Font, x: f32, y: f32, width: f32, size: f32, text: &str) -> Self {
        let mut y = y;
        let mut line = String::new();
        for word in text.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if !line.is_empty() && font.width(&longer) * size > width {
                self = self.text(Text::at(x, y, std::mem::take(&mut line)).size(size).font(font));
                y += size * 1.25;
                line = word.to_owned();
            } else {
                line = longer;
            }
        }
        self.text(Text::at(x, y, line).size(size).font(font))
    }

    /// Fills a rectangle (left, top, right, bottom) with a grey from 0 (black) to 1 (white).
    #[must_use]
    pub fn rectangle(self, x0: f32, y0: f32, x1: f32, y1: f32, grey: f32) -> Self {
        let bottom = self.height - y1;
        self.raw(format!("q {grey} g {x0} {bottom} {} {} re f Q\n", x1 - x0, y1 - y0))
    }

    /// Places a picture (left, top, right, bottom).
    #[must_use]
    pub fn image(mut self, x0: f32, y0: f32, x1: f32, y1: f32, image: Image) -> Self {
        let name = self.images.len();
        self.images.push(image);
        let bottom = self.height - y1;
        self.raw(format!("q {} 0 0 {} {x0} {bottom} cm /Im{name} Do Q\n", x1 - x0, y1 - y0))
    }

    /// Draws the text of another page, of the same size, through a form.
    #[must_use]
    pub fn form(mut self, form: Page) -> Self {
        let name = self.forms.len();
        self.forms.push(form);
        self.raw(format!("q /Fm{name} Do Q\n"))
    }

    /// Adds operators of the content stream as they are.
    #[must_use]
    pub fn raw(mut self, operators: impl Into<String>) -> Self {
        self.elements.push(Element::Raw(operators.into()));
        self
    }

    /// The texts that are written in [`Font::Boxes`].
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.elements.iter().chain(self.forms.iter().flat_map(|form| &form.elements)).filter_map(
            |element| match element {
                Element::Text(text) if text.font == Font::Boxes => Some(text.text.as_str()),
                Element::Text(_) | Element::Raw(_) => None,
            },
        )
    }

    pub(super) fn images(&self) -> &[Image] {
        &self.images
    }

    pub(super) fn forms(&self) -> &[Page] {
        &self.forms
    }

    pub(super) fn media_box(&self) -> [f32; 4] {
        let (x, y) = self.origin;
        [x, y, x + self.width, y + self.height]
    }

    pub(super) fn attributes(&self) -> String {
        let [x0, y0, x1, y1] = self.media_box();
        let mut out = format!("/MediaBox [{x0} {y0} {x1} {y1}]");
        if self.rotation != 0 {
            let _ = write!(out, " /Rotate {}", self.rotation);
        }
        if let Some([left, top, right, bottom]) = self.crop {
            let _ = write!(out, " /CropBox [{} {} {} {}]", x0 + left, y1 - bottom, x0 + right, y1 - top);
        }
        out
    }

    pub(super) fn content(&self, boxes: &BoxFonts) -> String {
        let mut out = String::new();
        let (x, y) = self.origin;
        if self.origin != (0.0, 0.0) {
            let _ = writeln!(out, "1 0 0 1 {x} {y} cm");
        }
        for element in &self.elements {
            match element {
                Element::Text(text) => out.push_str(&text.operators(self.height, boxes)),
                Element::Raw(operators) => out.push_str(operators),
            }
        }
        out
    }
}
