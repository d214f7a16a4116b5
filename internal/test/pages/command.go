package pages

import (
	"regexp"
	"strings"
)

// A Command is one of a page's shell lines that is not in a session: of a sh block, or of
// a block that is indented, or fenced without a kind, and begins with a program's name.
type Command struct {
	Page  string // the page's path from the root of the repository
	Line  int    // from 1
	Text  string // with its further lines, if it ends with "\"
	Shown string // the next indented block that has no command: its output, if the page shows it
}

// program begins a block of commands.
var program = regexp.MustCompile(`^([A-Z_]+=\S+ )*(go|sluice|make|\.ci/run|export|curl|createdb|cd|eval|docker|helm|install|systemctl|sam|aws|gcloud) `)

// Commands returns the shell lines of a page.
func Commands(page, text string) []Command {
	var all []Command
	fence, block := "", ""
	shown := true // the output of the last command was seen, or it has none
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if mark, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "```"); ok {
			if fence == "" {
				fence = mark + " "
			} else {
				fence = ""
			}
			block = ""
			continue
		}
		code, indented := strings.CutPrefix(line, "    ")
		if fence == " " {
			code = strings.TrimSpace(line)
		}
		switch {
		case fence != " " && (fence != "" || !indented):
			block = ""
		case block == "" && program.MatchString(code):
			block = "commands"
		case block == "":
			block = "other"
		}
		switch {
		case block == "other":
			if !shown {
				all[len(all)-1].Shown += code + "\n"
				shown = i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "    ")
			}
		case fence == "sh ":
			code = line
			fallthrough
		case block == "commands":
			if strings.TrimSpace(code) == "" {
				continue
			}
			c := Command{Page: page, Line: i + 1, Text: code}
			for strings.HasSuffix(c.Text, `\`) && i+1 < len(lines) {
				i++
				c.Text += "\n" + strings.TrimSpace(lines[i])
			}
			all, shown = append(all, c), false
		}
	}
	return all
}
