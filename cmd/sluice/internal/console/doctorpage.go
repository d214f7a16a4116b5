package console

import (
	"net/http"
	"time"

	"github.com/sluice-go/sluice/admin"
)

// A doctorPage is the page of findings.
type doctorPage struct{ *Console }

// doctorData is what the page shows.
type doctorData struct {
	At       time.Time
	Tiers    []tier
	Queues   int
	Problem  string
	Findings int
}

// A tier has the findings of one severity.
type tier struct {
	Severity admin.Severity
	Means    string
	List     []finding
}

func (p doctorPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		p.doctor.run(r.Context())
		http.Redirect(w, r, "/doctor", http.StatusSeeOther)
		return
	}
	report := p.doctor.latest()
	d := doctorData{At: report.At, Queues: len(p.queues), Findings: len(report.Findings)}
	if report.Err != nil {
		d.Problem = problem(report.Err)
	}
	for _, t := range []tier{
		{admin.Critical, "jobs are being, or will be, lost or doubled", nil},
		{admin.Major, "it will hurt under load or in an outage", nil},
		{admin.Minor, "the queue is not as it should be", nil},
	} {
		var found []admin.Finding
		for _, f := range report.Findings {
			if f.Severity == t.Severity {
				found = append(found, f)
			}
		}
		t.List = p.worded(found)
		d.Tiers = append(d.Tiers, t)
	}
	p.show(w, r, http.StatusOK, "doctor", &view{Title: "Doctor", At: "doctor", Refresh: p.c.Every, Data: d})
}
