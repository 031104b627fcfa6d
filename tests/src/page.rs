//! Examples of a documentation page: fenced blocks that begin with ```` ```rtap ````, each with the words that
//! follow it there, and the block ```` ```output ```` right below, if there is one.

/// An example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The line its script begins on.
    pub line: usize,
    /// The script.
    pub script: String,
    /// The words behind `rtap`: `name` or `name=value`.
    pub words: Vec<String>,
    /// What is expected, and where it stands: bytes of the page.
    pub output: Option<(String, std::ops::Range<usize>)>,
}

impl Example {
    /// Whether the word is there.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|w| w == word)
    }

    /// The value of `name=value`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut pairs = self.words.iter().filter_map(|word| word.split_once('='));
        pairs
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The items of a value, between commas.
    pub fn items(&self, name: &str) -> Vec<String> {
        let items = self.value(name).into_iter().flat_map(|v| v.split(','));
        items.map(str::to_owned).collect()
    }
}

/// The examples of a page, in order.
pub fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut block: Option<(String, usize, usize)> = None;
    // Where the last example's script ended.
    let mut after = None;
    let mut at = 0;
    for (number, line) in page.split_inclusive('\n').enumerate() {
        let start = at;
        at += line.len();
        let text = line.trim_end();
        match (&block, text.strip_prefix("```")) {
            (None, Some(info)) => block = Some((info.to_owned(), number + 2, at)),
            (Some((info, first, from)), Some("")) => {
                let content = page[*from..start].to_owned();
                let mut words = info.split_whitespace().map(str::to_owned);
                match words.next().as_deref() {
                    Some("rtap") => {
                        examples.push(Example {
                            line: *first,
                            script: content,
                            words: words.collect(),
                            output: None,
                        });
                        after = Some(number + 1);
                    }
                    Some("output") if after == Some(first - 2) => {
                        if let Some(example) = examples.last_mut() {
                            example.output = Some((content, *from..start));
                        }
                    }
                    _ => {}
                }
                block = None;
            }
            _ => {}
        }
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_have_their_words_and_output() {
        let page = "text\n```rtap user args=1,2\nprobe begin { }\n```\n```output\nout\n```\n\n```sh\nls\n```\n```rtap\nx\n```\n";
        let found = examples(page);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].script, "probe begin { }\n");
        assert_eq!(found[0].line, 3);
        assert!(found[0].has("user"));
        assert_eq!(found[0].items("args"), ["1", "2"]);
        let (output, place) = found[0].output.clone().unwrap();
        assert_eq!((output.as_str(), &page[place]), ("out\n", "out\n"));
        assert_eq!(found[1].output, None);
    }
}
