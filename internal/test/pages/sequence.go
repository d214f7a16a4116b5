package pages

import (
	"errors"
	"fmt"
	"html"
	"strings"
)

// Sequence draws a sequence diagram as SVG from a text such as
//
//	title A message is delivered twice
//	lanes producer | queue | worker A
//	producer > queue: send
//	queue > worker A: attempt 1
//	worker A . it crashes
//	queue .. 30 seconds later
//
// A line "A > B: text" is an arrow, "A x B: text" one that does not arrive, "A . text" a
// note at a lane, and "A .. text" a wait: the lane stays while time passes. Empty lines
// and lines that begin with # say nothing.
func Sequence(text string) (string, error) {
	d := &sequence{}
	var faults []error
	for i, line := range strings.Split(text, "\n") {
		if err := d.line(strings.TrimSpace(line)); err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", i+1, err))
		}
	}
	if len(d.lanes) == 0 {
		faults = append(faults, errors.New("the text has no lanes"))
	}
	if err := errors.Join(faults...); err != nil {
		return "", err
	}
	return d.svg(), nil
}

// A sequence is a sequence diagram.
type sequence struct {
	title string
	lanes []string
	steps []step
}

// A step is a row of a diagram.
type step struct {
	from, to int
	kind     string // ">", "x", "." or ".."
	text     string
}

const (
	laneWidth = 210
	rowHeight = 40
	headTop   = 44
)

func (d *sequence) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
		return nil
	case word == "title":
		d.title = rest
		return nil
	case word == "lanes":
		for lane := range strings.SplitSeq(rest, "|") {
			d.lanes = append(d.lanes, strings.TrimSpace(lane))
		}
		return nil
	}
	for _, kind := range []string{">", "x", "..", "."} {
		from, rest, ok := strings.Cut(line, " "+kind+" ")
		a := d.lane(from)
		if !ok || a < 0 {
			continue
		}
		if kind == "." || kind == ".." {
			d.steps = append(d.steps, step{from: a, to: a, kind: kind, text: rest})
			return nil
		}
		to, text, ok := strings.Cut(rest, ":")
		b := d.lane(to)
		if !ok || b < 0 || a == b {
			return fmt.Errorf("%q: an arrow is \"lane > lane: text\"", line)
		}
		d.steps = append(d.steps, step{from: a, to: b, kind: kind, text: strings.TrimSpace(text)})
		return nil
	}
	return fmt.Errorf("%q is neither an arrow nor a note of a lane", line)
}

func (d *sequence) lane(name string) int {
	for i, l := range d.lanes {
		if l == strings.TrimSpace(name) {
			return i
		}
	}
	return -1
}

func (d *sequence) svg() string {
	width := laneWidth * len(d.lanes)
	height := headTop + 40 + rowHeight*len(d.steps) + 10
	x := func(lane int) int { return laneWidth*lane + laneWidth/2 }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(d.title))
	b.WriteString(`<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#26547c"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="6" fill="#fbfcfd"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="12" y="24" font-weight="bold" fill="#1b2a38">%s</text>`+"\n", html.EscapeString(d.title))
	for i, lane := range d.lanes {
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#c3ccd5" stroke-dasharray="3 3"/>`+"\n", x(i), headTop+26, x(i), height-8)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="150" height="26" rx="4" fill="#26547c"/>`+"\n", x(i)-75, headTop)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#fff">%s</text>`+"\n", x(i), headTop+18, html.EscapeString(lane))
	}
	for i, s := range d.steps {
		y := headTop + 64 + rowHeight*i
		text := html.EscapeString(s.text)
		switch s.kind {
		case ".", "..":
			fill := "#fff4d6"
			if s.kind == ".." {
				fill = "#e6ebf0"
			}
			w := max(90, 8*len([]rune(s.text))+16)
			left := min(max(x(s.from)-w/2, 4), width-w-4)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="24" rx="3" fill="%s" stroke="#c3ccd5"/>`+"\n", left, y-16, w, fill)
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#1b2a38">%s</text>`+"\n", left+w/2, y+1, text)
		default:
			from, to := x(s.from), x(s.to)
			end, marker := to, ` marker-end="url(#head)"`
			if s.kind == "x" {
				end, marker = from+(to-from)*3/4, ""
			}
			fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#26547c" stroke-width="1.5"%s/>`+"\n", from, y, end, y, marker)
			if s.kind == "x" {
				fmt.Fprintf(&b, `<path d="M%d %dl10 10m0 -10l-10 10" stroke="#c0392b" stroke-width="2"/>`+"\n", end-5, y-5)
			}
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#1b2a38">%s</text>`+"\n", (from+to)/2, y-6, text)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}
