// Package mutants tries the tests themselves: it puts bugs into the production
// code, one at a time, and sees that the suite finds each.
//
// A mutant is a patch in testdata. It begins with what is wrong, in words; a line
// "Breaks: …" names the rule or promise, with its place; the change follows as a
// unified diff. It is never applied to the source: package patch lays it over a
// build (go build -overlay), so that production code has no switches for it.
//
// For each mutant the catchers that could see it are built with it and run, the
// most general first, until one fails: the simulation, the random stories, the
// exploration, then the packages' own tests. What was caught by the last alone is
// something that the general ones can't see, and the record says so. A mutant
// that nothing catches is a hole in the tests, and fails; so does a catcher that
// fails without any mutant.
//
//	go test ./trials/mutants                                  every patch fits (in go test ./...)
//	go test ./trials/mutants -mutants sample -rotation 17     eight mutants, other ones for each rotation
//	go test ./trials/mutants -mutants all -timeout 2h -record docs/mutants.md
//	go test ./trials/mutants -v -mutants no-tombstone,low-ignored
//
// To add one: write the words and the change as in the patches that are there,
// number it on, and run it by its name. It must compile, be a mistake that somebody
// could make, and not be equivalent to the code as it is.
package mutants
