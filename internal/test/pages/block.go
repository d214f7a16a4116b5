package pages

import (
	"regexp"
	"strings"
)

// A Block is a fenced block of a page.
type Block struct {
	Page  string // the page's path from the root of the repository
	Line  int    // of its opening fence, from 1
	Kind  string // the first word after the fence
	Title string // the value of title="…" behind it
	Text  string // without the fences
}

var titled = regexp.MustCompile(`title="([^"]*)"`)

// Blocks returns the fenced blocks of a page.
func Blocks(page, text string) []Block {
	var all []Block
	var open *Block
	var body []string
	for i, line := range strings.Split(text, "\n") {
		fence, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case ok && open == nil:
			kind, rest, _ := strings.Cut(fence, " ")
			open = &Block{Page: page, Line: i + 1, Kind: kind}
			if m := titled.FindStringSubmatch(rest); m != nil {
				open.Title = m[1]
			}
		case ok:
			open.Text = strings.Join(body, "\n") + "\n"
			all = append(all, *open)
			open, body = nil, nil
		case open != nil:
			body = append(body, line)
		}
	}
	return all
}
