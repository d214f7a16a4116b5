package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/noun"
)

//go:embed templates static
var files embed.FS

// layoutFile is the template that every page is in, with what pages share.
const layoutFile = "templates/layout.html"

// pages are the parsed templates.
type pages struct{ byName map[string]*template.Template }

func newPages() (*pages, error) {
	p := &pages{byName: make(map[string]*template.Template)}
	layout, err := template.New("layout.html").Funcs(functions).ParseFS(files, layoutFile)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == layoutFile {
			continue
		}
		t, err := template.Must(layout.Clone()).ParseFS(files, name)
		if err != nil {
			return nil, err
		}
		p.byName[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	return p, nil
}

// render makes a page.
func (p *pages) render(name string, v *view) ([]byte, error) {
	var b bytes.Buffer
	if err := p.byName[name].Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// static serves the style sheet and the script.
func static() http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		server.ServeHTTP(w, r)
	})
}

// functions are what templates call.
var functions = template.FuncMap{
	"count":  count,
	"age":    age,
	"ago":    ago,
	"clock":  clock,
	"path":   url.PathEscape,
	"every":  config.FormatDuration,
	"cut":    cut,
	"spaced": spaced,
	"span":   span,
	"add":    func(a, b int) int { return a + b },
	"wide":   func(n int) int64 { return int64(n) },
	"plural": noun.Counted[int],
}

// unknown stands for a value that is not known.
const unknown = "–"

// count writes a count with its digits in groups.
func count(n int64) string {
	if n == drivers.Unknown {
		return unknown
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// age writes a duration with its largest unit or two.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return unknown
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd %02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// span writes the fewest and the most of something; 0 is unknown.
func span(least, most int) string {
	switch {
	case most == 0:
		return unknown
	case least == most || least == 0:
		return fmt.Sprint(most)
	default:
		return fmt.Sprintf("%d to %d", least, most)
	}
}

// ago writes how long ago something was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return age(max(time.Since(t), 0)) + " ago"
}

func clock(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// stamp is the date and the hour of a time by RFC 3339.
var stamp = regexp.MustCompile(`(\d{4}-\d\d-\d\d)T(\d\d:)`)

// spaced writes the times by RFC 3339 in a text so that a line can break in them.
func spaced(text string) string { return stamp.ReplaceAllString(text, "$1 $2") }

// cut returns the beginning of a text, without a broken character at its end.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
