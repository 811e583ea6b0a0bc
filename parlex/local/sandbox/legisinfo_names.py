"""LEGISinfo's own names, by its ids: statuses, types, stages, events and the rest, in both languages."""

from __future__ import annotations

from parlex.local.sandbox.sample import HOUSE, SENATE

Names = tuple[str, str]

STATUSES: dict[int, Names] = {
    341: ("Bill defeated", "Projet de loi rejeté"),
    342: (
        "House of Commons bill awaiting first reading in the Senate",
        "Projet de loi de la Chambre des communes en attente de la première lecture au Sénat",
    ),
    343: ("At second reading in the Senate", "À la deuxième lecture au Sénat"),
    344: ("At consideration in committee in the Senate", "À l'examen en comité au Sénat"),
    345: ("At report stage in the Senate", "À l'étape du rapport au Sénat"),
    346: ("At third reading in the Senate", "À la troisième lecture au Sénat"),
    348: (
        "Senate bill awaiting first reading in the House of Commons",
        "Projet de loi du Sénat en attente de la première lecture à la Chambre des communes",
    ),
    349: ("At second reading in the House of Commons", "À la deuxième lecture à la Chambre des communes"),
    352: ("At consideration in committee in the House of Commons", "À l'examen en comité à la Chambre des communes"),
    353: ("At report stage in the House of Commons", "À l'étape du rapport à la Chambre des communes"),
    354: ("At third reading in the House of Commons", "À l'étape de la troisième lecture à la Chambre des communes"),
    356: ("Awaiting royal assent", "En attente de la sanction royale"),
    357: ("Royal assent received", "Sanction royale reçue"),
    359: ("Introduced as pro forma bill", "Présenté en tant que projet de loi pro forma"),
    360: ("Outside the Order of Precedence", "Ne fait pas partie de l'Ordre de priorité"),
}
TYPES: dict[int, Names] = {
    3: ("House Government Bill", "Projet de loi émanant du gouvernement (Cdc)"),
    4: ("Private Member’s Bill", "Projet de loi émanant d'un député"),
    80759: ("Senate Government Bill", "Projet de loi émanant du gouvernement (Sénat)"),
    80760: ("Senate Public Bill", "Projet de loi d'intérêt public du Sénat"),
    80761: ("Senate Private Bill", "Projet de loi d'intérêt privé (Sénat)"),
}
FORMS: dict[int, Names] = {
    10: ("Regular", "Ordinaire"),
    13: ("Appropriation", "Crédits"),
    15: ("Pro forma", "Pro forma"),
}
ROLES: dict[int, Names] = {
    1: ("Prime Minister", "premier ministre"),
    2: ("Member of Parliament", "député(e)"),
    3: ("Senator", "sénateur"),
    4: ("Minister", "ministre"),
    23: ("President of the Treasury Board", "président du Conseil du Trésor"),
    96: ("HansardDisplay", "HansardDisplay"),
}
CHAMBERS: dict[int, Names] = {HOUSE: ("House of Commons", "Chambre des communes"), SENATE: ("Senate", "Sénat")}
STAGES: dict[int, Names] = {
    60029: ("First reading", "Première lecture"),
    60030: ("Second reading", "Deuxième lecture"),
    60031: ("Third reading", "Troisième lecture"),
    60032: ("Report stage", "Étape du rapport"),
    60049: ("Consideration in committee", "Examen en comité"),
    60050: ("Royal assent", "Sanction royale"),
}
MAJOR_STAGES: dict[str, tuple[int, str, str]] = {
    "1": (60043, "First reading", "Première lecture"),
    "2": (60044, "Second reading", "Deuxième lecture"),
    "3": (60045, "Third reading", "Troisième lecture"),
    "assent": (60046, "Royal assent", "Sanction royale"),
}
EVENTS: dict[int, tuple[int | None, str, str]] = {
    60110: (60029, "Introduction and first reading", "Dépôt et première lecture"),
    60111: (60029, "First reading", "Première lecture"),
    60112: (60030, "Placed in the Order of Precedence", "Ajouté à l'Ordre de priorité"),
    60115: (60030, "Debate at second reading", "Débat à l’étape de la deuxième lecture"),
    60119: (
        60030,
        "Bill defeated at second reading",
        "Rejet du projet de loi à l’étape de la deuxième lecture",
    ),
    60120: (60030, "Second reading", "Deuxième lecture"),
    60121: (60030, "Second reading and referral to committee", "Deuxième lecture et renvoi en comité"),
    60123: (60030, "Referral to committee", "Renvoi en comité"),
    60124: (60049, "Committee report presented", "Présentation du rapport de comité"),
    60126: (60032, "Debate at report stage", "Débat à l’étape du rapport"),
    60130: (60032, "Committee report adopted", "Adoption du rapport de comité"),
    60131: (60031, "Debate at third reading", "Débat à l’étape de la troisième lecture"),
    60134: (60031, "Third reading", "Troisième lecture"),
    60141: (
        None,
        "The Senate does not insist on its amendment(s)",
        "Le Sénat n’insiste pas sur ses amendements",
    ),
    60149: (60050, "Royal assent", "Sanction royale"),
    60285: (60032, "Concurrence at report stage", "Adoption à l’étape du rapport"),
}
RESULTS: dict[str, tuple[int, str, str]] = {
    "Passed": (15, "Agreed To", "Adoptée"),
    "Failed": (16, "Negatived", "Rejetée"),
    "Tie": (17, "Tie", "Égalité"),
}
TEXTS: dict[int, Names] = {
    1: ("First Reading", "Première lecture"),
    2: ("As amended by committee", "Tel que modifié par le comité"),
    4: ("Royal Assent", "Royal Assent"),
}
PASSED: dict[int, Names] = {
    HOUSE: ("As passed by the House of Commons", "Tel qu’adopté par la Chambre des communes"),
    SENATE: ("As passed by the Senate", "Tel qu’adopté par le Sénat"),
}
DATES = {
    "PassedHouseFirstReadingDateTime": "house_1",
    "PassedHouseSecondReadingDateTime": "house_2",
    "PassedHouseThirdReadingDateTime": "house_3",
    "PassedSenateFirstReadingDateTime": "senate_1",
    "PassedSenateSecondReadingDateTime": "senate_2",
    "PassedSenateThirdReadingDateTime": "senate_3",
    "ReceivedRoyalAssentDateTime": "assent",
}
STAGE_OF_STEP = {"1": 60029, "2": 60030, "committee": 60049, "report": 60032, "3": 60031, "assent": 60050}
NOT_REACHED, NO_ACTIVITY, IN_PROGRESS, COMPLETED, NOT_COMPLETED = 1, 2, 3, 4, 5
STATES: dict[int, Names] = {
    NOT_REACHED: ("Not reached", "Non atteinte"),
    NO_ACTIVITY: ("No activity", "Aucune activité"),
    IN_PROGRESS: ("In progress", "En cours"),
    COMPLETED: ("Completed", "Terminée"),
    NOT_COMPLETED: ("Not completed", "Non achevée"),
}
MONTHS_EN = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
MONTHS_FR = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
]
