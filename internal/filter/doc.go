// Package filter is the one language in which audit events are searched: an AST that is read from query text, from API parameters and from Sigma
// detections, printed back as query text, and evaluated in two ways that give the same answer: by Matcher over an audit.Event in memory, and by
// ClickHouse through SQL. It runs no query and knows no rule format.
//
// # Query text
//
//	actor.name:ana action:auth.* -outcome:success        all of these; a minus or NOT in front turns one round
//	(action:role.grant OR action:user.create) severity:>=high
//	action:(record.read, record.update)                  any of these values; OR may stand for the comma
//	source.ip:10.0.0.0/8                                 an address or a network
//	request.status:>=500  metadata.amount:[10 TO 20}     numbers; square brackets include the bound, curly ones do not, * leaves it open
//	time:2025-03-01  time:>=2025-03-01T10:00Z            a time stands for the whole of its last unit
//	metadata.team:"x y"  target.name:report-*.pdf        * is any text, ? one character, both plain inside quotes
//	actor.id:*  has:actor.id                             the field is there
//	actor.name|i:ANA                                     upper and lower case alike (also with wildcards)
//	request.route|re:"^/api/(users|roles)"               RE2, anywhere in the value, dot matches line breaks
//	target.name|fieldref:actor.name                      equal to another field
//	failed "wrong password" message|eq:"Login failed."   words of the message, a phrase of it, the whole of it
//	action:FAILED_LOGIN                                  names of the first product, see audit.ActionAlias
//
// AND binds closer than OR and may be left out. A backslash before punctuation or a space takes it literally, before anything else it is itself
// (DOMAIN\user); \%HH is the byte with that hexadecimal code. In a quoted regular expression only \" is an escape. An empty text and * match all.
//
// # Meaning
//
// Each comparison is true or false, never unknown. With an absent field every comparison is false, so its negation is true. A field is absent when
// the event does not have it or has it empty: "", 0 and the address :: are stored as absent, and asking for one of these asks for absence.
// Several values in one comparison are alternatives. A list field (changes.field) compares true when one of its elements does.
//
// Text compares byte by byte. Where case is ignored, Unicode full case folding (Unicode 15) decides, as ClickHouse's caseFoldUTF8 does: ß equals
// SS. Word search ignores case too: a word of ASCII letters only finds ASCII letters, so that the text index answers it; other words are folded and
// scan the messages. Bytes that are not UTF-8 count as U+FFFD for case folding, wildcards inside a text and regular expressions, else as themselves.
// An ordering (< <= > >=) with a text field compares numbers: -?digits[.digits], up to 40 digits before the point and 20 after it. Any other
// text is no number, and the comparison false. IPv4 addresses and their IPv6-mapped forms are the same; an IPv6 network does not hold IPv4 addresses.
package filter
