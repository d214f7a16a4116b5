// Command searchsite opens the built documentation site from its folder in Chromium, and
// asks its search for each error text of the troubleshooting page, and for a whole error
// with that text, as a reader without a network does:
//
//	go run ./internal/test/pages/searchsite FOLDER docs/troubleshooting.md
//
// It fails if the text's section is not in the first result, or if a page
// fetches something from elsewhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience is how long the search may take for all texts.
const patience = 5 * time.Minute

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "searchsite:", err)
		os.Exit(1)
	}
}

var heading = regexp.MustCompile("(?m)^### `(.+)`$")

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: searchsite FOLDER PAGE")
	}
	page, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var texts []string
	for _, m := range heading.FindAllStringSubmatch(string(page), -1) {
		texts = append(texts, m[1])
	}
	if len(texts) < len(messages) {
		return fmt.Errorf("%s has only %d headings of error texts", args[1], len(texts))
	}
	if err := examples(texts); err != nil {
		return err
	}
	folder, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		return fmt.Errorf("%w: .ci/run packages installs it", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)...)
	defer cancel()
	// The search of a site that a server serves runs in a Worker, which a page of a disk cannot
	// have.
	served := httptest.NewServer(http.FileServer(http.Dir(folder)))
	defer served.Close()
	foreign := &strangers{home: served.URL}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(foreign.see))
	defer cancel()
	home := url.URL{Scheme: "file", Path: filepath.ToSlash(folder) + "/index.html"}
	if err := chromedp.Do(ctx); err != nil {
		return err
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		return err
	}
	if err := find(ctx, home.String(), texts); err != nil {
		return err
	}
	if err := find(ctx, served.URL+"/index.html", texts[:3]); err != nil {
		return fmt.Errorf("served: %w", err)
	}
	if urls := foreign.list(); urls != nil {
		return fmt.Errorf("the site fetches from elsewhere: %q", urls)
	}
	_, err = fmt.Fprintf(os.Stdout, "the search finds %d error texts, and an error with each, offline\n", len(texts))
	return err
}

// input is the field that takes the query.
const input = `[data-md-component="search-query"]`

// find searches for the texts on the page at home.
func find(ctx context.Context, home string, texts []string) error {
	if err := chromedp.Do(ctx, chromedp.Navigate(home), chromedp.WaitReady(chromedp.CSS(input))); err != nil {
		return err
	}
	var lost []string
	for _, text := range texts {
		for _, query := range []string{strings.ReplaceAll(text, "…", ""), messages[text]} {
			found, err := search(ctx, query, text)
			if err != nil {
				return fmt.Errorf("search for %q: %w", query, err)
			}
			if !found {
				lost = append(lost, query)
			}
		}
	}
	if lost != nil {
		return fmt.Errorf("the search does not find %q", lost)
	}
	return nil
}

// examples reports texts of the page without a message, and messages without a text.
func examples(texts []string) error {
	for _, text := range texts {
		rest := messages[text]
		for part := range strings.SplitSeq(text, "…") {
			_, after, ok := strings.Cut(rest, strings.TrimSpace(part))
			if !ok {
				return fmt.Errorf("messages.go has no error with the text %q", text)
			}
			rest = after
		}
	}
	for text := range messages {
		if !slices.Contains(texts, text) {
			return fmt.Errorf("messages.go has an error with %q, and the page has no such heading", text)
		}
	}
	return nil
}

// search types a query, and reports whether the first result, a page with its sections, has
// the section of an error text, not folded away.
func search(ctx context.Context, query, text string) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		const toggle = document.querySelector('[data-md-toggle="search"]');
		if (!toggle.checked) toggle.click(); // as the focus does, which a page without a window has not
		document.querySelectorAll(".md-search-result__item").forEach((item) => item.remove()); // of the query before
		const input = document.querySelector(%q);
		input.value = %q;
		input.dispatchEvent(new KeyboardEvent("keyup"));
	}`, input, query))); err != nil {
		return false, err
	}
	found, err = chromedp.Run(ctx, chromedp.Poll[bool](fmt.Sprintf(
		`[...document.querySelectorAll('.md-search-result__item:first-child a[href*="/troubleshooting.html"]')].some((a) =>
				a.querySelector("h2")?.textContent.trim() === %q && !a.closest("details:not([open])"))`, text),
		chromedp.WithPollingTimeout(10*time.Second)))
	if errors.Is(err, chromedp.ErrPollingTimeout) {
		return false, nil
	}
	return found, err
}

// strangers are the requests that leave the folder.
type strangers struct {
	home string // that of the test's own server

	mu   sync.Mutex
	urls []string
}

func (s *strangers) see(event any) {
	e, ok := event.(*network.EventRequestWillBeSent)
	if !ok || strings.HasPrefix(e.Request.URL, "file:") || strings.HasPrefix(e.Request.URL, "data:") || strings.HasPrefix(e.Request.URL, "blob:") || strings.HasPrefix(e.Request.URL, s.home) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urls = append(s.urls, e.Request.URL)
}

func (s *strangers) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urls
}
