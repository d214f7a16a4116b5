package cli

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"
)

// colours is true where output to w may be coloured: it is a terminal, and
// nobody said no (https://no-color.org).
func colours(w io.Writer) bool {
	return terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// terminal reports whether a stream is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor fits into an int
}

// columns returns the width of the terminal that a stream is, and 0 if it is not one or does
// not know its width.
func columns(stream any) int {
	f, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd())) //nolint:gosec // a descriptor fits into an int
	if err != nil {
		return 0
	}
	return width
}

// printable is text as it is, unless it has characters that would act on a
// terminal or break the line: then it is quoted.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
