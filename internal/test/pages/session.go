//go:build unix

package pages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A session runs the console blocks of a page in their order.
type session struct {
	dir       string
	env       []string
	replace   *strings.Replacer // what differs between a reader's machine and the test's
	terminals map[string]*terminal
	// transcript receives each command with its output.
	transcript func(format string, args ...any)
}

// run runs a page's blocks.
func (s *session) run(ctx context.Context, blocks []Block) (err error) {
	defer func() {
		for _, t := range s.terminals {
			err = errors.Join(err, t.close())
		}
	}()
	for _, b := range blocks {
		switch {
		case b.Kind == "console":
			err = s.enter(ctx, b)
		case b.Title != "":
			path := filepath.Join(s.dir, filepath.FromSlash(b.Title))
			if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
				err = os.WriteFile(path, []byte(b.Text), 0o600)
			}
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", b.Page, b.Line, err)
		}
	}
	return nil
}

// enter types a block's commands and compares their output.
func (s *session) enter(ctx context.Context, b Block) error {
	t := s.terminals[b.Title]
	if t == nil {
		var err error
		if t, err = open(ctx, s.dir, s.env); err != nil {
			return err
		}
		s.terminals[b.Title] = t
	}
	var command []string
	interrupted := false
	var want strings.Builder
	check := func(last bool) error {
		if command == nil {
			return nil
		}
		text := strings.Join(command, "\n")
		pattern := pattern(want.String())
		var enough func(string) bool
		if last && b.Title != "" && !interrupted {
			enough = func(got string) bool { return pattern.MatchString(normal(got)) }
		}
		got, done, status := t.await(ctx, enough)
		s.transcript("%s:%d: $ %s\n%s", b.Page, b.Line, text, normal(got))
		switch {
		case want.Len() > 0 && !pattern.MatchString(normal(got)):
			return fmt.Errorf("$ %s\nprinted\n%s\nand the page has\n%s", text, normal(got), want.String())
		case !done && enough == nil:
			return fmt.Errorf("$ %s\nhas not ended; it printed\n%s", text, got)
		case status != 0 && !(interrupted && status == 130):
			return fmt.Errorf("$ %s\nended with status %d; it printed\n%s", text, status, got)
		}
		return nil
	}
	flush := func() error {
		err := check(false)
		command = nil
		want.Reset()
		return err
	}
	lines := strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n")
	for i, line := range lines {
		switch text, ok := strings.CutPrefix(line, "$ "); {
		case ok:
			if err := flush(); err != nil {
				return err
			}
			command = []string{text}
			for _, more := range lines[i+1:] {
				text, ok := strings.CutPrefix(more, "> ")
				if !ok {
					break
				}
				command = append(command, text)
			}
			if err := t.enter(ctx, s.replace.Replace(strings.Join(command, "\n"))); err != nil {
				return err
			}
		case strings.HasPrefix(line, "> "):
		case line == "^C":
			if command == nil { // one that an earlier block has left running
				command = []string{"^C"}
			} else { // when it has printed what is above
				above := pattern(want.String())
				t.await(ctx, func(got string) bool { return above.MatchString(normal(got)) })
			}
			if err := t.interrupt(); err != nil {
				return err
			}
			interrupted = true
		default:
			want.WriteString(line + "\n")
		}
	}
	return check(true)
}

var (
	times     = regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`)
	durations = regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)?(ns|µs|ms|s|m)\b`)
	ports     = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	blanks    = regexp.MustCompile(`[ \t]+`)
)

// normal replaces what differs from run to run.
func normal(text string) string {
	text = times.ReplaceAllString(text, "TIME")
	text = durations.ReplaceAllString(text, "DURATION")
	text = ports.ReplaceAllString(text, "127.0.0.1:PORT")
	return blanks.ReplaceAllString(text, " ")
}

// pattern matches a command's output.
func pattern(want string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(normal(want)) {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?s:.*)`)
			continue
		}
		text := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(line, "\n")), "…", `[^\n]*`)
		b.WriteString(text + `[ \t]*\n`)
	}
	b.WriteString(`\s*\z`)
	return regexp.MustCompile(b.String())
}
