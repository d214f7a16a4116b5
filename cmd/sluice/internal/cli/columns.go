package cli

import (
	"slices"
	"strings"
)

const (
	// columnGap is the space between two columns of a table.
	columnGap = 2
	// leastText is the narrowest that a shortened column becomes while there are others
	// to leave out, and leastColumn the narrowest at all.
	leastText   = 12
	leastColumn = 4
)

// A layout says what a table does on a terminal that is narrower than its rows. Columns
// are named by their headings. The zero layout does nothing.
type layout struct {
	// short are shorter headings.
	short map[string]string
	// drop are the columns to leave out, the least important one first.
	drop []string
	// names are columns that may lose the middle of their cells, and texts those that
	// may lose the end.
	names, texts []string
}

// fit returns a table's rows as a terminal of so many columns has room for them, and the
// headings of columns that it has left out. Columns without a value are left out first,
// and not among these. rows are not changed.
func (l layout) fit(rows [][]string, width int) (fitting [][]string, left []string) {
	if width <= 0 || len(l.drop)+len(l.names)+len(l.texts) == 0 || tableWidth(widths(rows)) <= width {
		return rows, nil
	}
	heads := slices.Clone(rows[0])
	fitting = make([][]string, len(rows))
	for i, row := range rows {
		fitting[i] = slices.Clone(row)
	}
	for i, h := range heads {
		if s, ok := l.short[h]; ok {
			fitting[0][i] = s
		}
	}
	remove := func(i int) {
		heads = slices.Delete(heads, i, i+1)
		for r := range fitting {
			fitting[r] = slices.Delete(fitting[r], i, i+1)
		}
	}
	for i := len(heads) - 1; i > 0 && tableWidth(widths(fitting)) > width; i-- {
		if !slices.ContainsFunc(fitting[1:], func(row []string) bool { return row[i] != "-" }) {
			remove(i)
		}
	}
	soft := func(h string) bool { return slices.Contains(l.names, h) || slices.Contains(l.texts, h) }
	for _, h := range l.drop {
		ws := widths(fitting)
		for i, head := range heads {
			if soft(head) {
				ws[i] = min(ws[i], leastText)
			}
		}
		if tableWidth(ws) <= width {
			break
		}
		if i := slices.Index(heads, h); i >= 0 {
			left = append(left, h)
			remove(i)
		}
	}
	ws := widths(fitting)
	for tableWidth(ws) > width {
		widest := -1
		for i, head := range heads {
			if soft(head) && ws[i] > leastColumn && (widest < 0 || ws[i] > ws[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		ws[widest]--
	}
	for _, row := range fitting {
		for i, head := range heads {
			if slices.Contains(l.names, head) {
				row[i] = squeezed(row[i], ws[i])
			} else if soft(head) {
				row[i] = shortened(row[i], ws[i])
			}
		}
	}
	return fitting, left
}

// widths returns the widths of a table's columns.
func widths(rows [][]string) []int {
	ws := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			ws[i] = max(ws[i], textWidth(cell))
		}
	}
	return ws
}

// tableWidth is the width of a table with columns of these widths.
func tableWidth(ws []int) int {
	n := columnGap * (len(ws) - 1)
	for _, w := range ws {
		n += w
	}
	return n
}

// squeezed cuts the middle out of a name that is wider than so many columns: names
// often differ at the end.
func squeezed(s string, most int) string {
	if textWidth(s) <= most {
		return s
	}
	end := (most - 1) / 2
	return head(s, most-1-end) + "…" + tail(s, end)
}

// folded breaks text at spaces into lines of at most width columns, the first of which
// begins after so many columns and the others are indented by as many. Words that are
// longer stay whole. A width of zero or less does nothing.
func folded(text string, after, indent, width int) string {
	if width <= 0 || after+textWidth(text) <= width {
		return text
	}
	var b strings.Builder
	at := after
	for i, word := range strings.Split(text, " ") {
		n := textWidth(word)
		switch {
		case i == 0:
		case at+1+n > width && at > indent:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
