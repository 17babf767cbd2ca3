package queryapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/audittrail/audittrail/queryapi/internal/testtrail"
)

func TestMain(m *testing.M) { os.Exit(testtrail.Run(m)) }

// noon is the time of the tests' clock.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

func newService(t testing.TB, opt Options) *Service {
	t.Helper()
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// parameters makes "name=value" pairs into parameters.
func parameters(t testing.TB, query string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ids returns the ids of the page's items, in order.
func ids(t testing.TB, page *Page) []string {
	t.Helper()
	out := []string{}
	for _, item := range page.Items {
		var it struct{ ID string }
		if err := json.Unmarshal(item, &it); err != nil {
			t.Fatal(err)
		}
		out = append(out, it.ID)
	}
	return out
}

// lister is Service.Events or Service.Alerts.
type lister func(ctx context.Context, scope Scope, parameters url.Values) (*Page, error)

// walk reads all pages; between is called after each one.
func walk(t testing.TB, list lister, scope Scope, v url.Values, between func()) []string {
	t.Helper()
	var all []string
	v = parameters(t, v.Encode())
	for {
		page, err := list(t.Context(), scope, v)
		if err != nil {
			t.Fatalf("%s: %v", v.Encode(), err)
		}
		all = append(all, ids(t, page)...)
		if page.Next == "" {
			return all
		}
		if len(page.Items) == 0 {
			t.Fatalf("%s: an empty page is not the last", v.Encode())
		}
		v.Set("cursor", page.Next)
		if between != nil {
			between()
		}
	}
}

// codeOf returns the code of an *Error, "" of nil.
func codeOf(t testing.TB, err error) Code {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *Error: %v", err, err)
	}
	return e.Code
}

// rounds is how often a random test repeats: more with AUDITTRAIL_SLOW=1.
func rounds(usual, slow int) int {
	if os.Getenv("AUDITTRAIL_SLOW") == "1" {
		return slow
	}
	return usual
}
