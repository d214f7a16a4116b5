package console_test

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/test/suite"
)

// shots is the folder of the screenshots, which are made anew if SLUICE_SCREENSHOTS=1.
var shots = filepath.Join("..", "..", "..", "..", "docs", "console")

//go:embed testdata/axe/axe.min.js
var axe string

// closeBrowser ends the browser, if there is one, and removes its files.
var closeBrowser = func() {}

// chromium starts a browser for all tests of the process.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("there is no chromium: .ci/run packages installs it")
	}
	ctx, closeAll := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-device-scale-factor", "1"))...)
	ctx, _ = chromedp.NewContext(ctx)
	closeBrowser = func() {
		_ = chromedp.Cancel(ctx) // it waits for the browser; the tests are over
		closeAll()
	}
	return ctx, chromedp.Do(ctx)
})

// A tab is a page in a browser, with cookies of its own.
type tab struct {
	t    *testing.T
	site *site
	ctx  context.Context
}

// tabs has a place for each tab that may be open: a browser that serves many is slow.
var tabs = make(chan struct{}, 2)

// browse opens a tab on a site. It belongs to the slow suites.
func (s *site) browse(t *testing.T) *tab {
	t.Helper()
	suite.Only(t)
	browser, err := chromium()
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	tabs <- struct{}{}
	t.Cleanup(func() { <-tabs })
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(stop)
	b := &tab{t: t, site: s, ctx: ctx}
	b.size(1280, 900)
	return b
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

func (b *tab) size(width, height int64) { b.do(chromedp.EmulateViewport(width, height)) }

func (b *tab) scheme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(b.t, err)
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.site.url+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// eval returns the value of an expression.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, expression)
	return out
}

// waits waits until an expression is true.
func (b *tab) waits(expression string) {
	b.t.Helper()
	b.t.Cleanup(func() {
		if b.t.Failed() && b.ctx.Err() == nil {
			state, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + ' hidden: ' + document.hidden + '\\n' + document.body.innerText"))
			b.t.Log(state, err)
		}
	})
	require.Eventually(b.t, func() bool {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && holds
	}, 2*time.Minute, 20*time.Millisecond, "%s never holds", expression)
}

// has waits until the page has a text.
func (b *tab) has(text string) {
	b.t.Helper()
	b.waits(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// at waits until a page is shown, and its script has run.
func (b *tab) at(path string) {
	b.t.Helper()
	b.waits(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, path))
}

// path returns the path of the page that is shown.
func (b *tab) path() string { return eval[string](b, "location.pathname") }

// audit runs axe-core, and requires that it finds nothing serious.
func (b *tab) audit() {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](axe))
	found := eval[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; ")))`)
	require.Empty(b.t, found, "axe-core on %s", b.path())
}

// fits requires that a page needs no scrolling to the side at any width.
func (b *tab) fits() {
	b.t.Helper()
	for _, width := range []int64{360, 768, 1280, 3840} {
		b.size(width, 900)
		require.LessOrEqual(b.t, eval[int64](b, "document.documentElement.scrollWidth"), width, "%s at %d px", b.path(), width)
	}
	b.size(1280, 900)
}

// shoot checks a page in both colour schemes, and keeps pictures of it if they are
// asked for.
func (b *tab) shoot(name string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.audit()
		if os.Getenv("SLUICE_SCREENSHOTS") != "1" {
			continue
		}
		const most = 1400 // a long list is cut
		height := min(eval[int64](b, "document.documentElement.scrollHeight"), most)
		b.size(1280, height)
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		require.NoError(b.t, err)
		require.NoError(b.t, os.MkdirAll(shots, 0o755))
		require.NoError(b.t, os.WriteFile(filepath.Join(shots, name+"-"+scheme+".png"), png, 0o644))
	}
	b.scheme("light")
	b.fits()
}

// shifts returns how much of the page has moved by itself, as browsers measure it.
func (b *tab) shifts() float64 {
	return eval[float64](b, `new Promise(r => {
		let sum = 0;
		const o = new PerformanceObserver(l => { for (const e of l.getEntries()) sum += e.value; });
		o.observe({type: "layout-shift", buffered: true});
		setTimeout(() => { o.disconnect(); r(sum); }, 200);
	})`)
}

// problems records what a page complains of: errors of scripts, and what the content
// security policy has kept from loading.
func (b *tab) problems() func() []string {
	var mu sync.Mutex
	var all []string
	require.NoError(b.t, chromedp.Listen(b.ctx, func(e any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			all = append(all, fmt.Sprint(e.ExceptionDetails))
		case *cdplog.EventEntryAdded:
			all = append(all, e.Entry.Text)
		}
	}))
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}
