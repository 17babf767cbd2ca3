package ops

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/google/uuid"
)

// ProblemType is the prefix of problem types: names, not addresses.
const ProblemType = "urn:audittrail:problem:"

// Problem is the one form of an HTTP error in every service, as RFC 9457 has it.
type Problem struct {
	// Type is ProblemType and a code from a closed list.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Instance is the path of the request.
	Instance string `json:"instance"`
	// RequestID is also in the header X-Request-ID.
	RequestID string `json:"request_id"`
}

// WriteJSON writes v as one line. The text of events stays as it is: answers are never taken for HTML.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, title, detail string) {
	id := uuid.Must(uuid.NewV7()).String()
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Request-ID", id)
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// An error is the caller's, who has left.
	_ = WriteJSON(w, Problem{Type: ProblemType + code, Title: title, Status: status, Detail: detail, Instance: r.URL.EscapedPath(), RequestID: id})
}
