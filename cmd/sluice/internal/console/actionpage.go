package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/noun"
)

// An actionPage is the preview of an action, with the form that starts it.
type actionPage struct {
	*Console
	action action
}

// shownLetters is how many letters a preview lists.
const shownLetters = 10

// actionData is what the page shows.
type actionData struct {
	action
	Queue, URL, Place string
	// Dead is how many letters there are, Chosen how many are selected, and All is true
	// if nothing is selected, so that the action takes all there are.
	Dead   int64
	All    bool
	Chosen int
	// Which stands for the selected letters, whatever their order.
	Which  string
	Select selection
	Groups []letters.Group
	Some   []*seen
	// First is how many letters are tried first, as the viewer has typed it.
	First string
	// Cost is what the look costs that the action begins with.
	Cost cost
	// Lacks says why there is nothing to do. Wrong is the fault of the form.
	Lacks, Wrong string
	At           time.Time
}

func (p actionPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.mayWrite(w, r) {
		return
	}
	q := p.find(w, r)
	if q == nil {
		return
	}
	if err := r.ParseForm(); err != nil {
		p.fail(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	if name := unread(r.URL.Query()); name != "" {
		p.fail(w, r, http.StatusBadRequest, fmt.Sprintf("%q selects no letters, and without a selection this page is about all of them. Choose the letters on the page of the dead letters.", name))
		return
	}
	d := actionData{action: p.action, Queue: q.queue.Name, URL: config.Redact(q.queue.URL()), Select: selectionOf(r.Form)}
	depth, _, _ := q.status()
	d.Dead = depth.DeadLetters
	snap, _, _ := q.look.state()
	chosen, fault := d.choose(snap)
	d.First = strings.TrimSpace(r.PostFormValue("first"))
	first, wrong := 0, error(nil)
	if d.First != "" && p.action.Tries {
		if first, wrong = strconv.Atoi(d.First); first < 1 {
			wrong = strconv.ErrRange
		}
	}
	if c, err := costOf(r.Context(), q); err == nil { // else opening says why below
		d.Cost = c
	}
	// The provider itself brings all letters back, without a look.
	looks := !d.All || !p.action.Tries || first > 0
	status := http.StatusOK
	switch {
	case fault != "":
		d.Lacks = fault
	case r.Method == http.MethodPost && r.PostFormValue("confirm") != q.queue.Name:
		d.Wrong, status = "To confirm, type the name of the queue: "+q.queue.Name, http.StatusUnprocessableEntity
	case r.Method == http.MethodPost && wrong != nil:
		d.Wrong, status = "The number of letters to try first must be a whole number above zero, or empty.", http.StatusUnprocessableEntity
	case r.Method == http.MethodPost && !d.All && r.PostFormValue("chosen") != d.Which:
		d.Wrong, status = "The letters have been looked at anew since this page was made, and others are selected now. Check them, and confirm again.", http.StatusConflict
	case r.Method == http.MethodPost && looks && d.Cost.Risky && !spends(r):
		d.Wrong, status = "Looking may move letters away. Tick the box to do it all the same.", http.StatusConflict
	case r.Method == http.MethodPost:
		p.start(w, r, q, d, order{ids: idsOf(&d, chosen), first: first, spend: spends(r)})
		return
	}
	if s, err := q.open(r.Context()); err != nil {
		d.Lacks = problem(err)
	} else {
		d.Place = place(s)
	}
	p.show(w, r, status, "action", &view{Title: d.Title, At: "queues", Data: d})
}

// place says whose queue a source is on.
func place(s drivers.Source) string {
	l, ok := s.(drivers.Locator)
	if !ok {
		return ""
	}
	at := l.Location()
	text := ""
	for _, one := range []setting{{"account", at.Account}, {"region", at.Region}, {"endpoint", at.Endpoint}} {
		if one.Value != "" {
			text += ", " + one.Name + " " + one.Value
		}
	}
	return text
}

// choose selects letters of a snapshot. It returns why that cannot be done.
func (d *actionData) choose(snap *snapshot) ([]*seen, string) {
	if d.Select.IsZero() {
		d.All = true
		return nil, ""
	}
	if snap == nil {
		return nil, "The letters have not been looked at. Look at them, and select some."
	}
	d.At = snap.At
	chosen, err := d.Select.of(snap, time.Now())
	if err != nil {
		return nil, err.Error()
	}
	if len(chosen) == 0 {
		return nil, "No letter of the latest look is selected."
	}
	d.Chosen, d.Which = len(chosen), digest(chosen)
	var groups letters.Groups
	for _, one := range chosen {
		groups.Add(one.Letter)
	}
	d.Groups, d.Some = groups.Sorted(), chosen[:min(len(chosen), shownLetters)]
	return chosen, ""
}

// digest returns a text that other letters do not have.
func digest(chosen []*seen) string {
	ids := make([]string, len(chosen))
	for i, one := range chosen {
		ids[i] = strconv.Quote(one.Message.ID)
	}
	slices.Sort(ids)
	sum := sha256.Sum256([]byte(strings.Join(ids, ",")))
	return hex.EncodeToString(sum[:])
}

// idsOf returns the message IDs of chosen letters, or nil for all.
func idsOf(d *actionData, chosen []*seen) map[string]bool {
	if d.All {
		return nil
	}
	ids := make(map[string]bool, len(chosen))
	for _, one := range chosen {
		ids[one.Message.ID] = true
	}
	return ids
}

// start starts the action, and leads to its progress.
func (p actionPage) start(w http.ResponseWriter, r *http.Request, q *watched, d actionData, o order) {
	extent := "all letters"
	if !d.All {
		extent = fmt.Sprintf("%s (%s)", noun.Counted(d.Chosen, "letter"), d.Select.Query())
	}
	if o.first > 0 {
		extent += fmt.Sprintf(", %d of them first", o.first)
	}
	p.do(w, r, q, p.action.Title, p.action.Past, extent, func(ctx context.Context, t *task) (string, error) {
		s, err := q.open(ctx)
		if err != nil {
			return "", err
		}
		o.task = t
		done, err := p.action.run(ctx, s, o)
		if done.complete {
			q.look.forget(o.ids)
		}
		q.count(ctx)
		return done.text, err
	})
}
