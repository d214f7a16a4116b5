package console_test

import (
	"math"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/cmd/sluice/internal/console"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/all"
	controlopen "github.com/sluice-go/sluice/middleware/control/open"
)

// shop is a console of a shop's queues, with an hour behind it.
func shop(t *testing.T, change func(*console.Config)) *site {
	t.Helper()
	mux := all.Mux()
	conf := &console.Config{Mux: mux, Every: time.Second, Queues: []config.Queue{
		memory(t, mux, "orders", 42, 0), memory(t, mux, "refunds", 3, 2), memory(t, mux, "thumbnails", 0, 0),
	}, Command: func(f *admin.Finding) (line, note string) {
		return "sluice redrive " + f.Queue + " --config shop.yaml", ""
	}}
	if change != nil {
		change(conf)
	}
	s := open(t, conf)
	for name, height := range map[string]float64{"orders": 60, "refunds": 5, "thumbnails": 0} {
		s.console.Fill(name, func(minute float64) drivers.Depth {
			wave := height * (1 + math.Sin(minute/6)*math.Cos(minute/17))
			return drivers.Depth{Visible: int64(wave), InFlight: int64(wave / 8), DeadLetters: int64(height * math.Floor(minute/20) / 20),
				OldestAge: time.Duration(wave) * time.Second}
		})
	}
	return s
}

func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	s := shop(t, nil)
	b := s.browse(t)
	complaints := b.problems()
	s.sees("/", "Examined ")
	for name, path := range map[string]string{"queues": "/", "queue": "/queues/orders", "doctor": "/doctor"} {
		b.open(path)
		b.shoot(name)
	}
	require.Empty(t, complaints())

	b.open("/doctor")
	b.do(chromedp.Evaluate[chromedp.Void](`document.body.id = "before"`), chromedp.Click(chromedp.CSS("main form button")))
	b.waits(`document.body.id === "" && document.querySelector("h1")?.innerText === "Doctor"`) // it is not taken for a forged one
}

// A viewer logs in, and sees that a queue is paused.
func TestALoginInABrowser(t *testing.T) {
	t.Parallel()
	store, err := controlopen.URL(t.Context(), "file://"+t.TempDir()+"/control.json")
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	s := shop(t, func(c *console.Config) {
		c.Token, c.Write, c.Controls = "correct horse battery", true, stored{Store: store}
	})
	b := s.browse(t)
	b.open("/queues/orders")
	b.at("/login")
	b.shoot("login")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), "correct horse battery"+kb.Enter))
	b.at("/queues/orders")
	b.do(chromedp.SendKeys(chromedp.CSS("#why"), "database migration"))
	b.link("Pause the consumers")
	b.has("(database migration)")
	b.shoot("paused")
	b.link("Resume the consumers")
	b.has("Pause the consumers")
	b.click(".viewer button")
	b.at("/login")
}

// A page follows its queues by itself, without moving and without taking the focus.
func TestAPageFollows(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	s := open(t, &console.Config{Mux: mux, Every: time.Second, Queues: []config.Queue{memory(t, mux, "orders", 1, 0), memory(t, mux, "mail", 0, 0)}})
	b := s.browse(t)
	s.sees("/", "Examined ")
	b.open("/")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("a[href='/queues/orders']").focus()`))
	send(t, mux, "mem://orders", 1234, nil)
	b.has("1\u202f235")
	require.Equal(t, "/queues/orders", eval[string](b, `document.activeElement.getAttribute("href")`))
	b.waits(`document.querySelectorAll(".chart .line").length === 2`)
	require.Less(t, b.shifts(), 0.01)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := shop(t, nil)
	b := s.browse(t)
	b.open("/")
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"))
	require.Equal(t, "/queues/refunds", eval[string](b, `document.activeElement.getAttribute("href")`))
	b.do(chromedp.KeyEvent("k"), chromedp.KeyEvent(kb.Enter))
	b.at("/queues/orders")
	b.do(chromedp.KeyEvent("g"), chromedp.KeyEvent("d"))
	b.at("/doctor")
	b.do(chromedp.KeyEvent("?"))
	b.waits(`document.getElementById("keys").open`)
	b.audit()
	b.do(chromedp.Click(chromedp.CSS("#keys-on")), chromedp.Click(chromedp.CSS("#keys button")))
	b.waits(`!document.getElementById("keys").open`)
	b.do(chromedp.KeyEvent("g"), chromedp.KeyEvent("o"), chromedp.KeyEvent("?"))
	b.waits(`document.getElementById("keys").open`)
	require.Equal(t, "/doctor", b.path(), "the keys are off")
}
