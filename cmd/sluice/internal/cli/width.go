package cli

import (
	"strings"

	"github.com/rivo/uniseg"
)

// textWidth returns how many columns of a terminal a text takes: wide characters take two,
// and what combines into one character is one.
func textWidth(s string) int { return uniseg.StringWidth(s) }

// head returns the beginning of a text that takes at most so many columns. It never splits a
// character.
func head(s string, most int) string {
	left, state, at := s, -1, 0
	for left != "" {
		_, rest, w, next := uniseg.FirstGraphemeClusterInString(left, state)
		if at += w; at > most {
			break
		}
		left, state = rest, next
	}
	return s[:len(s)-len(left)]
}

// tail returns the end of a text that takes at most so many columns.
func tail(s string, most int) string {
	state, over := -1, textWidth(s)-most
	for s != "" && over > 0 {
		var w int
		_, s, w, state = uniseg.FirstGraphemeClusterInString(s, state)
		over -= w
	}
	return s
}

// padded returns a text with spaces after it to a width.
func padded(s string, width int) string {
	return s + strings.Repeat(" ", max(width-textWidth(s), 0))
}
