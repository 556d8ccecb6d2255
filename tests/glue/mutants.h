#ifndef TESTS_GLUE_MUTANTS_H
#define TESTS_GLUE_MUTANTS_H

/*
 * Lets each deliberate fault run, or number `only` alone, until a schedule shows it; 0 when all are caught.
 */
int mutants(unsigned only);

#endif
