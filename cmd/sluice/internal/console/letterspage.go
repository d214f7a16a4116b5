package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-go/sluice/admin/letters"
)

// A lettersPage is the page of a queue's dead letters.
type lettersPage struct{ *Console }

const (
	// perPage is how many letters a page lists.
	perPage = 100
	// lookRefresh is how often a page is refreshed while something runs.
	lookRefresh = time.Second
)

// lookSizes are the numbers of letters that a look can be asked for.
var lookSizes = []int{100, 1_000, 10_000, 100_000}

// lettersData is what the page shows.
type lettersData struct {
	Queue string
	Dead  int64
	// Cost says what a look does to letters.
	Cost    cost
	Sizes   []int
	Running bool
	Count   int64
	Snap    *snapshot
	Problem string

	Select selection
	// Wrong is the fault of the selection.
	Wrong  string
	Groups []letters.Group
	// Matched letters are selected, and Listed those of this page.
	Matched, Page, Pages int
	Listed               []*seen
	// CanWrite reports whether letters can be brought back and discarded here.
	CanWrite bool
	// Compiles reports whether letters can be selected by expressions.
	Compiles bool
}

func (p lettersPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := p.find(w, r)
	if q == nil {
		return
	}
	if r.Method == http.MethodPost {
		p.look(w, r, q)
		return
	}
	d := lettersData{Queue: q.queue.Name, Sizes: lookSizes, Select: selectionOf(r.URL.Query()), CanWrite: p.c.Write, Compiles: p.c.Compile != nil}
	depth, _, _ := q.status()
	d.Dead = depth.DeadLetters
	var err error
	if d.Cost, err = costOf(r.Context(), q); err != nil {
		d.Problem = problem(err)
	}
	d.Snap, d.Running, d.Count = q.look.state()
	if d.Snap != nil {
		p.list(&d, r.URL.Query().Get("page"))
	}
	v := &view{Title: "Dead letters of " + d.Queue, At: "queues", Data: d}
	if d.Running {
		v.Refresh = lookRefresh
	}
	p.show(w, r, http.StatusOK, "letters", v)
}

// list selects the letters of a page.
func (lettersPage) list(d *lettersData, page string) {
	if d.Snap.Err != nil {
		d.Problem = problem(d.Snap.Err)
	}
	now := time.Now()
	matched, err := d.Select.of(d.Snap, now)
	if err != nil {
		d.Wrong = err.Error()
		matched, _ = selection{}.of(d.Snap, now)
	}
	d.Groups = d.Snap.Groups
	if err == nil && !d.Select.onlyCause() {
		others := d.Select
		others.Cause = ""
		within, _ := others.of(d.Snap, now) // it was parsed just now
		var groups letters.Groups
		for _, one := range within {
			groups.Add(one.Letter)
		}
		d.Groups = groups.Sorted()
	}
	slices.SortFunc(matched, func(a, b *seen) int { return cmp.Or(b.At().Compare(a.At()), cmp.Compare(a.Key, b.Key)) })
	d.Matched, d.Pages = len(matched), max((len(matched)+perPage-1)/perPage, 1)
	d.Page, _ = strconv.Atoi(page)
	d.Page = min(max(d.Page, 1), d.Pages)
	first := (d.Page - 1) * perPage
	d.Listed = matched[first:min(first+perPage, len(matched))]
}

// look reads letters, because a viewer has asked for it.
func (p lettersPage) look(w http.ResponseWriter, r *http.Request, q *watched) {
	most, err := strconv.Atoi(r.PostFormValue("most"))
	if err != nil || !slices.Contains(lookSizes, most) {
		p.fail(w, r, http.StatusBadRequest, fmt.Sprintf("The number of letters is not one of %v.", lookSizes))
		return
	}
	c, err := costOf(r.Context(), q)
	switch {
	case err != nil:
		p.fail(w, r, http.StatusBadGateway, problem(err))
		return
	case c.Lacks != "":
		p.fail(w, r, http.StatusConflict, c.Lacks)
		return
	case c.Risky && !spends(r):
		p.fail(w, r, http.StatusConflict, fmt.Sprintf("%s moves letters on after %d deliveries, of which a look is one. Tick the box to look all the same.", c.Queue, c.Attempts))
		return
	}
	who := whose(r).Who
	if q.look.begin() {
		p.audit.add(who, q.queue.Name, "looked at dead letters", fmt.Sprintf("up to %d", most), nil)
		spend := spends(r)
		p.work.Go(func(ctx context.Context) { q.look.run(ctx, who, most, spend, q.open) })
	}
	http.Redirect(w, r, lettersPath(q.queue.Name), http.StatusSeeOther)
}

// spends reports whether a form asks for a look that may move letters away.
func spends(r *http.Request) bool { return r.PostFormValue("spend") == "yes" }
